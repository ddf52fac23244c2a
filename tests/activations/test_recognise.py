"""From objects to activations, and the strangers that must be left alone."""

import functools

import pytest
import torch
import torch.nn.functional as F
import transformers.activations as hf
from torch import nn

from gelu_patch.activations.fingerprint import fingerprint
from gelu_patch.activations.recognise import recognise
from tests.zoo import HandWrittenGelu

EXPECTED = {
    "gelu": "gelu",
    "gelu_10": "gelu_10",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "quick_gelu": "gelu_quick",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
    "swish": "silu",
}
GELU_KEYS = [key for key in hf.ACT2FN if "gelu" in key]


def test_every_gelu_key_of_transformers_is_expected_here():
    assert set(GELU_KEYS) <= set(EXPECTED)


@pytest.mark.parametrize("key", EXPECTED)
def test_act2fn_keys_and_their_modules(key):
    assert recognise(key).activation == EXPECTED[key]
    found = recognise(hf.ACT2FN[key])
    assert (found.activation, found.how) == (EXPECTED[key], "identity")


@pytest.mark.parametrize("key", EXPECTED)
def test_identity_does_not_lie(key):
    """What a class is known as is what it computes."""
    assert fingerprint(hf.ACT2FN[key].forward)[0] == EXPECTED[key]


@pytest.mark.parametrize("key", [key for key in hf.ACT2CLS if key not in EXPECTED and key != "xielu"])
def test_other_keys_are_not_taken_for_a_registered_activation(key):
    assert recognise(key).activation is None
    assert recognise(hf.ACT2FN[key]).activation is None


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (nn.GELU(), "gelu"),
        (nn.GELU("tanh"), "gelu_tanh"),
        (F.gelu, "gelu"),
        (functools.partial(F.gelu, approximate="tanh"), "gelu_tanh"),
        (functools.partial(F.gelu, approximate="none"), "gelu"),
        (functools.partial(F.gelu), "gelu"),
        (torch.relu, "relu"),
        (F.silu, "silu"),
    ],
)
def test_functions_and_torch_modules(thing, name):
    assert recognise(thing).activation == name


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (HandWrittenGelu(), "gelu"),
        (lambda x: F.gelu(x.float(), approximate="tanh").to(x.dtype), "gelu_tanh"),
        (lambda x: x * torch.sigmoid(1.702 * x), "gelu_quick"),
    ],
)
def test_strangers_are_known_by_what_they_compute(thing, name):
    found = recognise(thing)
    assert (found.activation, found.how) == (name, "fingerprint")


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (hf.ClippedGELUActivation(-5, 5), "no registered activation"),
        (hf.ClippedGELUActivation(-10, 20), "no registered activation"),
        (lambda x: F.gelu(x) * 1.001, "no registered activation"),
        (lambda x: F.gelu(x + 1e-3), "no registered activation"),
        (lambda x: F.gelu(x) + 0.1 * torch.rand_like(x), "random or depends on the order"),
        (lambda x: F.gelu(x).cumsum(0), "random or depends on the order"),
        (lambda x: F.gelu(x).sum(), "not elementwise"),
        (lambda x: (F.gelu(x), x), "returns tuple"),
        (lambda x, scale: x, "running it on a test tensor failed"),
        (nn.Linear(2, 2), "parameters"),
        (nn.Tanh(), "not registered"),
        (42, "not callable"),
    ],
)
def test_what_is_no_registered_activation_is_left_alone_with_a_reason(thing, reason):
    found = recognise(thing)
    assert found.activation is None
    assert reason in found.reason


def test_fingerprinting_leaves_random_numbers_and_hooks_alone():
    called = []
    module = HandWrittenGelu()
    module.register_forward_hook(lambda *_: called.append(1))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    recognise(lambda x: x * torch.rand_like(x))
    recognise(module)
    assert torch.rand(1) == expected
    assert not called
