"""What a report says of a patched model."""

from __future__ import annotations

import pytest

import gelu_patch as gp
from gelu_patch.kernels import Accepted, Rejected, kernels
from gelu_patch.kernels.base import Answer
from gelu_patch.tasks.describe import describe_patch
from tests.zoo import tiny_gpt2


@pytest.mark.parametrize(
    ("answer", "fallback"),
    [
        (Accepted(), None),
        (Rejected("not in this dtype"), "not in this dtype"),
        (Rejected("not on this device", elsewhere=True), None),  # the best kernel of that device serves
    ],
)
def test_a_kernel_that_no_longer_serves_its_site_has_fallen_back(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, fallback: str | None
) -> None:
    model = tiny_gpt2()
    plan = gp.patch_model(model, "gelu_fused").plan
    kernel = type(kernels.get(plan.changes[0].kernel))
    monkeypatch.setattr(kernel, "answer", lambda self, request: answer)
    assert [site.fallback for site in describe_patch(model).plan] == [fallback] * len(plan.changes)
