"""Which library multiplies: measured once for a shape, and never when somebody decided otherwise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gelu_patch.blocks import libraries
from gelu_patch.blocks.product import Product, product_of


def apply(module, x):
    with torch.no_grad():
        return libraries.compute(product_of(module, x))


@pytest.fixture
def choices(monkeypatch):
    """What was chosen, from nothing."""
    monkeypatch.setattr(libraries, "_choices", {})
    return libraries._choices


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2), (torch.float16, 5e-3)])
def test_the_choice_is_made_once_for_a_shape(dtype, tolerance, choices, monkeypatch):
    module, measured = nn.Linear(24, 40).to(dtype), []
    original = libraries.measure
    monkeypatch.setattr(libraries, "measure", lambda product: measured.append(product.rows) or original(product))
    for rows in (5, 5, 6, 64):
        x = torch.randn(rows, 24).to(dtype)
        with torch.no_grad():
            expected = module(x)
        assert torch.allclose(apply(module, x).float(), expected.float(), rtol=0, atol=tolerance)
    assert measured == ([5, 64] if not libraries.only_torch(dtype) else [])


def other_weight(product):
    return product._replace(weight=torch.randn(8, 24))


def other_rows(product):
    return product._replace(x=torch.randn(64, 24))


def without_bias(product):
    return product._replace(bias=None)


def as_conv1d(product):
    return product._replace(weight=product.weight.t().contiguous(), transposed=True)


def in_bfloat16(product):
    return Product(*(each.bfloat16() for each in product[:3]))


@pytest.mark.parametrize("change", [other_weight, other_rows, without_bias, as_conv1d, in_bfloat16])
def test_what_is_another_product_is_measured_for_itself(change, choices, monkeypatch):
    measured = []
    monkeypatch.setattr(libraries, "only_torch", lambda dtype: None)
    monkeypatch.setattr(libraries, "measure", lambda product: measured.append(product) or {"torch": 1, "onednn": 2})
    product = Product(torch.randn(5, 24), torch.randn(40, 24), torch.randn(40))
    for each in (product, change(product), product, change(product)):
        libraries.choose(each)
    assert len(measured) == 2


def test_another_number_of_threads_or_precision_is_measured_for_itself(choices, monkeypatch):
    monkeypatch.setattr(libraries, "only_torch", lambda dtype: None)
    monkeypatch.setattr(libraries, "measure", lambda product: {"torch": 1, "onednn": 2})
    product = Product(torch.randn(5, 24), torch.randn(40, 24))
    libraries.choose(product)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    libraries.choose(product)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    libraries.choose(product)
    assert len(choices) == 3


class Timed:
    """A product that takes so many seconds by each library, on a clock of its own."""

    def __init__(self, **seconds: float) -> None:
        self.now, self.seconds, self.calls = 100.0, seconds, []

    def by(self, library):
        self.calls.append(library)
        self.now += self.seconds[library] * (10 if len(self.calls) <= 2 else 1)  # what is made once takes its time

    def perf_counter(self):
        return self.now


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [
        ({"torch": 1.0, "onednn": 3.0}, libraries._FEWEST),
        ({"torch": 1e-6, "onednn": 2e-6}, libraries._ROUNDS),
        ({"torch": 0.002, "onednn": 0.003}, 11),  # the first round that ends behind the budget of 0.05 s
        ({"torch": 0.005, "onednn": 0.00751}, libraries._FEWEST),
    ],
)
def test_a_measurement_takes_the_best_of_interleaved_rounds_within_its_budget(seconds, rounds, monkeypatch):
    product = Timed(**seconds)
    monkeypatch.setattr(libraries, "time", product)
    assert libraries.measure(product) == pytest.approx(seconds)
    assert product.calls == ["torch", "onednn"] * (1 + rounds)


@pytest.mark.parametrize("torch_s", [1e-3, 2.0])
@pytest.mark.parametrize(("share", "taken"), [(0.96, "onednn"), (0.98, "torch"), (1.5, "torch")])
def test_onednn_is_taken_when_it_is_clearly_faster(torch_s, share, taken):
    assert libraries.faster({"torch": torch_s, "onednn": share * torch_s}) == taken


def test_deterministic_algorithms_are_those_of_torch(choices, monkeypatch):
    monkeypatch.setattr(libraries, "faster", lambda seconds: "onednn")
    module, x = nn.Linear(24, 40), torch.randn(3, 24)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.no_grad():
            assert torch.equal(apply(module, x), module(x))
    finally:
        torch.use_deterministic_algorithms(False)
    assert not choices


def test_the_variable_turns_the_measurement_off(monkeypatch):
    monkeypatch.setenv(libraries.VARIABLE, "torch")
    libraries.only_torch.cache_clear()
    try:
        assert libraries.only_torch(torch.float32) == "GELU_PATCH_LINEAR=torch"
    finally:
        libraries.only_torch.cache_clear()


def test_products_by_torch_until_the_last_block_ends(choices, monkeypatch):
    monkeypatch.setattr(libraries, "only_torch", lambda dtype: None)
    monkeypatch.setattr(libraries, "faster", lambda seconds: "onednn")
    monkeypatch.setattr(libraries, "measure", lambda product: {})
    product = product_of(nn.Linear(24, 40), torch.randn(5, 24))
    with libraries.products_by_torch():
        with libraries.products_by_torch():
            pass
        assert libraries.choose(product) == "torch"
    assert libraries.choose(product) == "onednn"


def test_without_onednn_products_are_pytorch_s(monkeypatch):
    monkeypatch.delenv(libraries.VARIABLE, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert libraries.only_torch.__wrapped__(torch.float32) == "this PyTorch has no oneDNN"
