"""Weight decay and learning rates are those that the recipe says."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from gelu_patch.errors import UsageError
from gelu_patch.training.optimizer import build_optimizer, learning_rates
from gelu_patch.training.recipe import Schedule

from .toy import ToyClassifier, recipe


def test_vectors_do_not_decay() -> None:
    model = ToyClassifier()
    optimizer = build_optimizer(model, recipe(weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: decay[id(p)] for name, p in model.named_parameters()} == {
        "embedding.weight": 0.3,
        "norm.weight": 0.0,
        "norm.bias": 0.0,
        "head.weight": 0.3,
        "head.bias": 0.0,
    }


def test_frozen_parameters_are_left_out() -> None:
    model = ToyClassifier()
    model.embedding.requires_grad_(False)
    optimizer = build_optimizer(model, recipe())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4
    with pytest.raises(UsageError, match="nothing to train"):
        build_optimizer(model.requires_grad_(False), recipe())


def test_without_fused_kernels_it_is_plain_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    adamw = torch.optim.AdamW

    def refuse_fused(*args: object, fused: bool = False, **options: object) -> torch.optim.Optimizer:
        if fused:
            raise RuntimeError("`fused=True` requires ...")
        return adamw(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim, "AdamW", refuse_fused)
    assert build_optimizer(ToyClassifier(), recipe()).defaults["fused"] is None


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]),
        ("constant", [1.0] * 6),
        ("constant_with_warmup", [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_learning_rates(schedule: str, expected: list[float]) -> None:
    rate_of = learning_rates(recipe(learning_rate=1.0, num_warmup_steps=2, lr_scheduler_type=schedule), 6)
    assert [rate_of(step) for step in range(6)] == expected


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_every_schedule_that_the_recipe_offers_exists(schedule: str) -> None:
    assert learning_rates(recipe(lr_scheduler_type=schedule), 10)(1) > 0
