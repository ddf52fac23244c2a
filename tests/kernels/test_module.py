"""The module that stands where an activation stood."""

import copy
import io
import pickle

import torch
from torch import nn

from gelu_patch.kernels import KernelActivation


def replacement():
    return KernelActivation("gelu_new", "eager", original=nn.GELU("tanh"), origin="gelu_tanh")


def test_it_has_no_state_and_hides_the_original_from_the_tree():
    module = replacement()
    assert not list(module.state_dict())
    assert [type(child) for child in module.modules()] == [KernelActivation]
    assert isinstance(module.original, nn.GELU)
    assert repr(module) == "KernelActivation(gelu_tanh, kernel='eager')"


def test_it_survives_deepcopy_pickle_and_torch_save():
    x = torch.linspace(-4, 4, 33)
    module = replacement()
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for twin in (
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(buffer, weights_only=False),
    ):
        assert torch.equal(twin(x), module(x))
        assert isinstance(twin.original, nn.GELU)
        assert twin.original is not module.original


def test_it_compiles_and_exports():
    x = torch.randn(3, 5)
    module = nn.Sequential(nn.Linear(5, 5), replacement())
    expected = module(x)
    assert torch.allclose(torch.compile(module, backend="aot_eager", fullgraph=True)(x), expected)
    assert torch.allclose(torch.export.export(module, (x,)).module()(x), expected)
