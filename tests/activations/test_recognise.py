"""From objects to activations, and the strangers that must be left alone."""

import functools

import pytest
import torch
import torch.nn.functional as F
import transformers.activations as hf
from torch import nn

from gelu_patch.activations.fingerprint import fingerprint
from gelu_patch.activations.recognise import describe, identify, looks_like_activation, recognise
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
    found = recognise(thing)
    assert (found.activation, found.how) == (name, "identity")


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (HandWrittenGelu(), "gelu"),
        (lambda x: F.gelu(x.float(), approximate="tanh").to(x.dtype), "gelu_tanh"),
        (lambda x: x * torch.sigmoid(1.702 * x), "gelu_quick"),
        (lambda x: F.gelu(x) + 0.9e-5, "gelu"),
        (lambda x: F.gelu(x) * (1 + 0.9e-5), "gelu"),
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
        (lambda x: F.gelu(x) + 1.5e-5, "no registered activation"),
        (lambda x: F.gelu(x) + 0.1 * torch.rand_like(x), "random or depends on the order"),
        (lambda x: F.gelu(x).cumsum(0), "random or depends on the order"),
        (lambda x: F.gelu(x).sum(), "not elementwise"),
        (lambda x: (F.gelu(x), x), "returns tuple"),
        (lambda x, scale: x, "running it on a test tensor failed"),
        (nn.Linear(2, 2), "it has parameters, buffers or submodules: not a plain activation"),
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


@pytest.mark.parametrize(
    "name",
    ["act", "act_fn", "intermediate_act_fn", "act_func", "hidden_act", "actfn", "activation", "activation_fn", "GELU",
     "NewGELUActivation", "relu1", "nonlinearity", "SiLU", "swish", "act_impl"],
)  # fmt: skip
def test_names_that_suggest_an_activation(name):
    assert looks_like_activation(name)


@pytest.mark.parametrize("name", ["dropout", "dense", "Linear", "action", "factor", "act_scale", "LayerNorm", "tanh"])
def test_names_that_do_not(name):
    assert not looks_like_activation(name)


def test_a_name_is_a_key_of_act2fn_or_nothing():
    found = recognise("gelu_new")
    assert (found.activation, found.how, found.reason) == ("gelu_tanh", "identity", "ACT2FN key 'gelu_new'")
    found = recognise("gelu_newer")
    assert (found.activation, found.how) == (None, None)
    assert found.reason == "no registered activation is called 'gelu_newer'"


def test_partials_with_other_arguments_are_run_instead():
    assert identify(functools.partial(F.gelu, torch.zeros(1))) is None, "its input is fixed"
    assert identify(functools.partial(F.gelu, approximate="cubic")) is None
    assert identify(functools.partial(F.gelu, approximate="none", out=None)) is None
    assert identify(functools.partial(F.relu)) is None
    assert recognise(functools.partial(F.relu, inplace=False)).how == "fingerprint"


def test_a_subclass_is_a_stranger():
    """It may compute anything; so it is known by what it computes, and one with state by nothing."""

    class Louder(nn.GELU):
        def forward(self, x):
            return 2 * super().forward(x)

    assert identify(Louder()) is None
    assert recognise(Louder()).activation is None
    same = recognise(type("Renamed", (nn.GELU,), {})())
    assert (same.activation, same.how) == ("gelu", "fingerprint")
    assert "largest difference" in same.reason


def test_strangers_without_a_name_in_the_registry_say_so():
    found = recognise(nn.Tanh())
    assert (found.how, found.reason) == ("identity", "an activation of torch.nn that is not registered")
    assert recognise(nn.Linear(2, 2)).how is None
    buffered = HandWrittenGelu()
    buffered.register_buffer("scale", torch.ones(1))
    for thing in (buffered, nn.Sequential(nn.GELU()), nn.PReLU()):
        assert recognise(thing).activation is None
    assert "it has parameters, buffers or submodules" in recognise(buffered).reason
    around = type("Around", (nn.Sequential,), {})(nn.GELU())
    assert recognise(around).reason == "it has parameters, buffers or submodules: not a plain activation"


def test_an_unhashable_callable_is_only_run():
    class Unhashable:
        __hash__ = None

        def __call__(self, x):
            return F.silu(x)

    assert identify(Unhashable()) is None
    assert recognise(Unhashable()).activation == "silu"


def test_a_thing_may_say_what_it_is():
    class Ours:
        gelu_patch_activation = "relu2"
        gelu_patch_description = "x.relu() ** 2"

    assert identify(Ours()) == "relu2"
    assert describe(Ours()) == "x.relu() ** 2"


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (nn.GELU(), "GELU"),
        (F.gelu, "gelu"),
        (HandWrittenGelu(), "HandWrittenGelu"),
        (functools.partial(F.gelu, approximate="tanh"), "partial(gelu, approximate='tanh')"),
        (functools.partial(F.hardtanh, min_val=-1, max_val=2), "partial(hardtanh, min_val=-1, max_val=2)"),
        (functools.partial(nn.GELU()), "partial(GELU)"),
        (42, "int"),
    ],
)
def test_what_a_thing_is_called(thing, text):
    assert describe(thing) == text


def test_known_by_identity_without_transformers(monkeypatch):
    """A process without Transformers knows PyTorch's classes and imports nothing."""
    import sys

    monkeypatch.delitem(sys.modules, "transformers.activations")
    assert identify(nn.GELU("tanh")) == "gelu_tanh"
    assert identify(nn.ReLU()) == "relu"
    assert identify(nn.SiLU()) == "silu"
    assert identify(hf.NewGELUActivation()) is None
    assert "transformers.activations" not in sys.modules


def test_a_stranger_in_low_precision_or_with_gaps_is_looked_at_all_the_same():
    """bfloat16 has no numpy type; a nan is a value like any other, and the same wherever the element stands."""
    for thing in (lambda x: F.gelu(x).to(torch.bfloat16), lambda x: torch.where(x > 90, torch.nan, F.gelu(x))):
        found = recognise(thing)
        assert (found.activation, found.reason) == (None, "its values are those of no registered activation")
