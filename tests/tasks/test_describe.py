"""What a report says of a patched model."""

from __future__ import annotations

import torch

import gelu_patch as gp
from gelu_patch.kernels import Accepted, Request, kernels
from gelu_patch.tasks.describe import describe_patch
from tests.zoo import tiny_gpt2


def test_a_kernel_that_serves_its_site_has_not_fallen_back() -> None:
    model = tiny_gpt2()
    gp.patch_model(model, "gelu_fused")
    assert [site.fallback for site in describe_patch(model).plan] == [None, None]


def test_a_model_that_was_moved_to_a_dtype_without_a_kernel_says_so() -> None:
    model = tiny_gpt2()
    plan = gp.patch_model(model, "gelu_fused").plan
    model.double()
    kernel = kernels.get(plan.changes[0].kernel)
    answer = kernel.answer(Request("gelu_tanh", "cpu", torch.float64))
    expected = None if isinstance(answer, Accepted) else answer.reason
    assert [site.fallback for site in describe_patch(model).plan] == [expected] * len(plan.changes)
