"""The hash changes with every kind of change, and with nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from gelu_patch.tasks import weights_sha256


class Toy(nn.Module):
    scale: torch.Tensor
    table: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("scale", torch.tensor(2.0))
        self.register_buffer("table", torch.arange(3), persistent=False)


CHANGES: dict[str, Callable[[Toy], object]] = {
    "last bit": lambda toy: toy.linear.weight.data.view(torch.int32)[3, 3].bitwise_xor_(1),
    "sign of zero": lambda toy: toy.linear.bias.data.neg_(),
    "buffer": lambda toy: toy.scale.add_(1),
    "dtype": lambda toy: toy.bfloat16(),
    "shape": lambda toy: setattr(toy.linear, "weight", nn.Parameter(toy.linear.weight.data.reshape(2, 8))),
    "name": lambda toy: setattr(toy, "renamed", toy.__dict__["_modules"].pop("linear")),
}


@pytest.fixture
def toy() -> Toy:
    toy = Toy()
    nn.init.zeros_(toy.linear.bias)
    return toy


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_shows(toy: Toy, change: str) -> None:
    changed = copy.deepcopy(toy)
    assert weights_sha256(changed) == weights_sha256(toy)
    CHANGES[change](changed)
    assert weights_sha256(changed) != weights_sha256(toy)


def test_layout_modes_and_unsaved_buffers_do_not_show(toy: Toy) -> None:
    before = weights_sha256(toy)
    toy.eval().requires_grad_(False)
    toy.table.add_(1)
    toy.linear.weight.data = toy.linear.weight.data.t().contiguous().t()
    assert weights_sha256(toy) == before


def test_bfloat16_has_a_hash(toy: Toy) -> None:
    assert len(weights_sha256(toy.bfloat16())) == 64
