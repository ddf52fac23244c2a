"""The arms: what they compute, and that they share every weight."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from gelu_patch.errors import EnvironmentProblem, NothingToPatch
from gelu_patch.reporting.storage.timings import STOCK
from gelu_patch.timing.arms import arms_of, without_activations
from gelu_patch.timing.devices import require_device, synchronize
from tests.zoo import ZOO, Mlp, example_input, logits, tiny_gpt2


@pytest.mark.parametrize("name", ZOO)
def test_the_limit_has_no_activation_and_the_model_keeps_its_own(name: str) -> None:
    model = ZOO[name].build().eval()
    x = example_input()
    before = model(x)
    limit, n_sites = without_activations(model)
    assert n_sites == ZOO[name].sites
    # Without an activation, and with nothing else that is not linear, a model is affine.
    twice, once, none = limit(2 * x), limit(x), limit(0 * x)
    affine = torch.allclose(twice - none, 2 * (once - none), rtol=1e-3, atol=1e-3)
    assert affine or name in {"inline, formula", "inline, inside a formula"} or "gate" in name
    assert torch.equal(model(x), before)


def test_the_limit_of_a_model_without_gelu() -> None:
    with pytest.raises(NothingToPatch, match="no GELU"):
        without_activations(Mlp(nn.ReLU()))


def test_arms_share_weights_and_stand_in_the_order_asked_for() -> None:
    model = tiny_gpt2()
    arms = arms_of(model, ["relu", "gelu_fused"], shuffled=random.Random(3))
    assert list(arms) == [STOCK, "relu", "gelu_fused"]
    for arm in arms.values():
        assert all(a is b for a, b in zip(model.parameters(), arm.parameters(), strict=True))
    assert torch.equal(logits(arms[STOCK]), logits(model))
    assert not torch.equal(logits(arms["relu"]), logits(model))


def test_a_device_that_is_not_there() -> None:
    assert require_device("cpu").type == "cpu"
    synchronize(torch.device("cpu"))
    for name in ("xpu", "cuda:99"):
        with pytest.raises(EnvironmentProblem, match="there is no device"):
            require_device(name)
