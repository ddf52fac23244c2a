"""What is not kept for backward, and what is."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gelu_patch.kernels import kernels, recompute
from gelu_patch.kernels.base import Accepted, Request
from gelu_patch.patching.recording import forget, record
from tests.kernels.recorded import WIDTH, Block, gradients, kept_by, recorded, rows, same
from tests.kernels.recorded import no_hooks_left as no_hooks_left  # a fixture of every test here

pytestmark = pytest.mark.skipif(not recompute._TELLS_ITS_HOOKS, reason="PyTorch before 2.8")


def test_the_output_of_the_activation_is_not_kept_and_gradients_have_the_same_bits():
    stock, found = Block(memory="speed"), recorded(Block())
    assert (kept_by(stock), kept_by(found)) == (3, 2)  # x, z and h; x and z
    assert same(gradients(found), gradients(stock))


class GatedBlock(Block):
    def __init__(self, **options):
        super().__init__(**options)
        self.gate = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.down(self.act(self.up(x)) * self.gate(x))


def test_a_gated_product():
    stock, found = GatedBlock(memory="speed"), recorded(GatedBlock())
    assert (kept_by(stock), kept_by(found)) == (5, 4)  # x, z, h, the gate, the product; not h
    assert same(gradients(found), gradients(stock))


@pytest.mark.parametrize(
    ("between", "kept"),
    {
        "a view": (lambda h: h.view(-1, WIDTH), 2),
        "a reshape to three dimensions": (lambda h: h.view(2, 2, WIDTH), 2),
        "a transposition": (lambda h: h.t(), 2),
        "a slice": (lambda h: h[1:], 2),
        "in place": (lambda h: h.add_(1), 3),
        "in place on a view": (lambda h: h.view(-1).mul_(2).view(4, WIDTH), 3),
        "a copy": (lambda h: h.clone(), 3),
        "a dtype view": (lambda h: h + h.detach().view(torch.int32).view(torch.float32), 3),
    }.values(),
)
def test_what_the_next_operation_gets(between, kept):
    """Only what is untouched can be computed again; whatever it is, gradients have the same bits."""
    stock, found = Block(memory="speed", between=between), recorded(Block(between=between))
    if between(torch.ones(4, WIDTH)).shape == (WIDTH, 4):
        for each in (stock, found):
            each.down = nn.Linear(4, WIDTH)
            nn.init.ones_(each.down.weight)
            nn.init.zeros_(each.down.bias)
    assert kept_by(found) == kept
    assert same(gradients(found), gradients(stock))


def test_dropout_between_gains_nothing_and_stays_right():
    stock, found = Block(memory="speed", between=nn.Dropout(0.5)), recorded(Block(between=nn.Dropout(0.5)))
    torch.manual_seed(1)
    expected = gradients(stock)
    torch.manual_seed(1)
    assert same(gradients(found), expected)


def test_a_tensor_at_the_address_of_a_dead_one_is_not_taken_for_it():
    """Freed memory is given out again, at once."""
    x = torch.randn(512, 512, requires_grad=True)
    weight = torch.ones(512, 512, requires_grad=True)

    class Reuses(nn.Module):
        def forward(self, x):
            others, addresses = [], set()
            for _ in range(20):
                h = F.gelu(x)
                recompute.note(h, F.gelu, x)
                addresses.add(h.data_ptr())
                del h
                others.append(torch.full_like(x, 2.0, requires_grad=False))
            assert any(other.data_ptr() in addresses for other in others), "the allocator did not play along"
            return sum((other * weight).sum() for other in others)

    recorded(Reuses())(x).backward()
    assert torch.equal(weight.grad, torch.full((512, 512), 40.0))


def test_what_is_changed_in_place_after_it_was_saved_is_an_error_as_in_pytorch():
    def spoil(h):
        kept = h * 1.0
        result = kept * kept
        kept.add_(1)
        return result

    messages = []
    for module in (Block(memory="speed", between=spoil), recorded(Block(between=spoil))):
        with pytest.raises(RuntimeError, match="modified by an inplace operation") as error:
            gradients(module)
        messages.append(re.sub(", which is output 0 of [^,]*,| Hint.*", "", str(error.value)))
    assert messages[0] == messages[1]


def test_a_changed_input_of_the_activation_is_an_error_too():
    class Spoils(Block):
        def forward(self, x):
            z = self.up(x)
            out = self.down(self.act(z))
            z.add_(1)
            return out

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradients(recorded(Spoils()))


def test_an_output_changed_after_it_was_saved_does_not_matter():
    """PyTorch refuses; here what was saved is the recipe."""

    class Changes(Block):
        def forward(self, x):
            h = self.act(self.up(x))
            out = self.down(h)
            with torch.no_grad():
                h.add_(1)
            return out

    assert same(gradients(recorded(Changes())), gradients(Block(memory="speed")))


def test_retain_graph_and_double_backward():
    stock, found = Block(memory="speed"), recorded(Block())
    results = []
    for module in (stock, found):
        loss = module(rows()).square().mean()
        once = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)
        again = torch.autograd.grad(loss, list(module.parameters()), create_graph=True)
        norm = sum(each.square().sum() for each in again)
        second = torch.autograd.grad(norm, list(module.parameters()), allow_unused=True)
        results.append([*once, *again, *(each for each in second if each is not None)])
    assert same(results[1], results[0])


def test_frozen_weights():
    """With the first Linear frozen no graph begins before the activation, and its input is kept by nothing."""
    for trained in ("down", "up"):
        stock, found = Block(memory="speed"), recorded(Block())
        for module in (stock, found):
            module.requires_grad_(False)
            getattr(module, trained).requires_grad_(True)
        loss = [module(rows()).square().mean() for module in (stock, found)]
        for each in loss:
            each.backward()
        assert same(*([p.grad for p in m.parameters() if p.grad is not None] for m in (found, stock)))
        assert kept_by(found) <= kept_by(stock)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    def run(module):
        with torch.autocast("cpu", dtype=dtype):
            return module(rows()).float()

    stock, found = Block(memory="speed"), recorded(Block())
    assert same(gradients(found, lambda x: run(found)), gradients(stock, lambda x: run(stock)))


def test_once_per_backward_and_not_for_free(monkeypatch):
    module = recorded(Block())
    calls = []
    real = module.act.function
    monkeypatch.setattr(module.act, "function", lambda x: calls.append(1) or real(x))
    loss = module(rows()).sum()
    assert len(calls) == 1
    loss.backward()
    assert len(calls) == 2


def test_memory_is_freed_with_the_forward():
    """The recording must not keep what the graph has let go."""
    import weakref

    module, alive = recorded(Block()), []
    module.up.register_forward_hook(lambda m, args, out: alive.append(weakref.ref(out)))
    output = module(rows())
    del output
    assert alive[0]() is None


def test_a_recipe_may_start_from_a_recipe():
    """What `memory="max"` builds on: the pre-activation is noted as well, and only the block's input is kept."""

    class Max(Block):
        def forward(self, x):
            z = F.linear(x, self.up.weight, self.up.bias)
            recompute.note(z, F.linear, x, self.up.weight, self.up.bias)
            return self.down(self.act(z))

    stock, found = Block(memory="speed"), recorded(Max())
    assert kept_by(found) == 1
    assert same(gradients(found), gradients(stock))


CASES = [
    (kernel.name, activation)
    for kernel in kernels
    for activation in ("gelu", "gelu_tanh", "gelu_quick", "gelu_10", "relu", "relu2", "silu")
    if isinstance(kernel.answer(Request(activation, "cpu", torch.float32)), Accepted)
]


@pytest.mark.parametrize(("kernel", "activation"), CASES)
def test_every_kernel_keeps_no_more_and_gives_the_same_bits(kernel, activation):
    options = {"kernel": kernel, "activation": activation}
    stock, found = Block(memory="speed", **options), recorded(Block(**options))
    assert same(gradients(found), gradients(stock))
    saving = kernels.get(kernel).keeps_input(activation)
    assert kept_by(found) == kept_by(stock) - saving
    assert kernels.get(kernel).keeps_input(activation) or kernel == "eager"


def test_forgetting_leaves_nothing():
    module = Block()
    before = {name: repr(value) for name, value in vars(module).items()}
    record(module)
    record(module)
    assert len(module._forward_hooks) == len(module._forward_pre_hooks) == 1
    forget(module)
    assert {name: repr(value) for name, value in vars(module).items()} == before
