"""When nothing is recorded at all: hooks, transforms and threads of somebody else, and forwards that do not end."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from gelu_patch.kernels import recompute
from gelu_patch.patching.recording import record
from tests.kernels.recorded import Block, gradients, kept_by, nothing_left, recorded, rows, same
from tests.kernels.recorded import no_hooks_left as no_hooks_left  # a fixture of every test here

pytestmark = pytest.mark.skipif(not recompute._TELLS_ITS_HOOKS, reason="PyTorch before 2.8")


@pytest.mark.parametrize("mode", ["save_on_cpu", "own hooks", "checkpoint", "reentrant checkpoint", "disabled"])
def test_hooks_of_somebody_else_are_left_alone(mode):
    seen = []

    def pack(tensor):
        seen.append(tensor.shape)
        return tensor.detach()

    def call(module, x):
        if mode == "save_on_cpu":
            with save_on_cpu():
                return module(x)
        if mode == "own hooks":
            with saved_tensors_hooks(pack, lambda tensor: tensor):
                return module(x)
        if mode == "disabled":
            with torch.autograd.graph.disable_saved_tensors_hooks("not now"):
                return module(x)
        return checkpoint(module, x, use_reentrant=mode == "reentrant checkpoint")

    stock, found = Block(memory="speed"), recorded(Block())
    assert same(gradients(found, lambda x: call(found, x)), gradients(stock, lambda x: call(stock, x)))
    n = len(seen)
    assert n % 2 == 0
    assert seen[: n // 2] == seen[n // 2 :]


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_inside_of_a_recorded_forward(reentrant):
    class Checkpointed(Block):
        def forward(self, x):
            y = checkpoint(super().forward, x, use_reentrant=reentrant)
            return self.down(self.act(y))

    stock, found = Checkpointed(memory="speed"), recorded(Checkpointed())
    assert same(gradients(found), gradients(stock))


def test_user_hooks_inside_of_a_recorded_forward():
    class Offloaded(Block):
        def forward(self, x):
            with save_on_cpu():
                y = super().forward(x)
            return self.down(self.act(y))

    stock, found = Offloaded(memory="speed"), recorded(Offloaded())
    assert same(gradients(found), gradients(stock))


def test_an_exception_in_the_forward_takes_the_hooks_off():
    def fail(h):
        raise ValueError("no")

    module = recorded(Block(between=fail))
    with pytest.raises(ValueError, match="no"):
        module(rows())
    assert nothing_left()


def test_an_interrupted_forward_is_noticed_by_the_next_one():
    """Ctrl-C is no Exception: PyTorch runs no hooks for it."""

    def interrupt(h):
        raise KeyboardInterrupt

    module, other = recorded(Block(between=interrupt)), recorded(Block())
    with pytest.raises(KeyboardInterrupt):
        module(rows())
    assert not nothing_left()
    stock = gradients(Block(memory="speed"))  # the hooks that are there keep everything as it is
    assert same(gradients(other), stock)
    assert nothing_left()


def test_forwards_inside_of_forwards_record_once():
    class Outer(nn.Module):
        def __init__(self, inner, again=0):
            super().__init__()
            self.inner, self.again = inner, again

        def forward(self, x):
            x = self.inner(x)
            if self.again:
                self.again -= 1
                x = self(x)
                self.again += 1
            return x

    stock, found = Outer(Block(memory="speed"), again=2), Outer(Block(), again=2)
    record(found.inner)
    record(found)
    assert same(gradients(found), gradients(stock))
    assert kept_by(found) == kept_by(stock) - 3


def test_without_gradients_nothing_happens():
    module = recorded(Block(between=lambda h: h if nothing_left() else 1 / 0))
    with torch.no_grad():
        module(rows())
    with torch.inference_mode():
        module(rows())


def test_torch_func_and_forward_mode():
    module, stock = recorded(Block()), Block(memory="speed")
    parameters = dict(module.named_parameters())

    def loss(parameters, module):
        return torch.func.functional_call(module, parameters, rows()).square().mean()

    found, expected = (torch.func.grad(loss)(parameters, each) for each in (module, stock))
    assert same(list(found.values()), list(expected.values()))
    tangents = {name: torch.ones_like(value) for name, value in parameters.items()}
    assert torch.func.jvp(lambda p: loss(p, module), (parameters,), (tangents,))[1] != 0
    assert torch.equal(torch.vmap(module)(rows()[None])[0], stock(rows()))


@pytest.mark.parametrize("how", ["vmap", "jvp", "no_grad", "counted"])
def test_transforms_inside_of_a_recorded_forward(how):
    from torch.utils.flop_counter import FlopCounterMode

    class Transforms(Block):
        def forward(self, x):
            if how == "vmap":
                return torch.vmap(super().forward)(x)
            if how == "jvp":
                return torch.func.jvp(super().forward, (x,), (torch.ones_like(x),))[1]
            if how == "counted":
                with FlopCounterMode(display=False):
                    return super().forward(x)
            with torch.no_grad():
                bias = super().forward(x)
            return super().forward(x) + bias

    stock, found = Transforms(memory="speed"), recorded(Transforms())
    assert same(gradients(found), gradients(stock))


def test_threads_do_not_mix():
    module, expected = recorded(Block()), gradients(Block(memory="speed"))
    found, barrier = {}, threading.Barrier(4)

    def run(name):
        barrier.wait()
        for _ in range(20):
            loss = module(rows()).square().mean()
            found[name] = torch.autograd.grad(loss, list(module.parameters()))
            assert nothing_left()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(found[i], expected) for i in range(4))


def test_backward_in_another_thread():
    module, expected = recorded(Block()), gradients(Block(memory="speed"))
    module.zero_grad()
    loss = module(rows()).square().mean()
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    assert same([parameter.grad for parameter in module.parameters()], expected)
