"""What several tests of blocks are given."""

from __future__ import annotations

import pytest
import torch

from tests.zoo_inline import WIDTH


@pytest.fixture
def launches(monkeypatch):
    """The names of the launches, in the order in which they are made."""
    from gelu_patch.kernels.triton import launches as module

    made = []

    def counting(name):
        launch = getattr(module, name)

        def count(*args, **kwargs):
            made.append(name + (" again" if kwargs.get("again") is not None else ""))
            return launch(*args, **kwargs)

        monkeypatch.setattr(module, name, count)

    for name in ("forward", "backward", "backward_with_sums"):
        counting(name)
    return made


@pytest.fixture
def x():
    return torch.randn(2, 5, WIDTH)
