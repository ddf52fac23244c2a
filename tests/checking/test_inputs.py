"""Which numbers are tried."""

import numpy as np
import pytest
import torch

from gelu_patch.checking import inputs
from gelu_patch.errors import UnknownName

FLOAT16_AND_BFLOAT16 = (torch.bfloat16, torch.float16)


def bits(x):
    return x.view(torch.int32 if x.dtype == torch.float32 else torch.int16).numpy()


def ascends(x):
    finite = x[torch.isfinite(x)].double()
    return bool((finite[1:] >= finite[:-1]).all())


@pytest.mark.parametrize("dtype", FLOAT16_AND_BFLOAT16, ids=str)
def test_all_numbers_of_16_bit_types(dtype):
    found = inputs.inputs_for(dtype)
    x = torch.cat(list(found.chunks()))
    assert len(np.unique(bits(x))) == found.total == 2**16
    assert ascends(x)


def test_the_stratified_subset_has_every_exponent_and_sign_the_specials_and_the_borders():
    x = torch.cat(list(inputs.inputs_for(torch.float32, (-0.8768,)).chunks()))
    assert ascends(x)
    patterns = bits(x).view(np.uint32)
    assert len(np.unique(patterns >> 23)) == 512
    present = set(patterns.tolist())
    for value in inputs.specials(torch.float32).values():
        assert value != value or int(np.float32(value).view(np.uint32)) in present, value
    border = int(np.float32(-0.8768).view(np.uint32))
    assert {border - 1, border, border + 1} <= present
    assert torch.isnan(x).any()


def test_specials_are_exact_in_their_dtype():
    for dtype in (torch.float32, *FLOAT16_AND_BFLOAT16):
        named = inputs.specials(dtype)
        x = torch.tensor(list(named.values()), dtype=torch.float64).to(dtype)
        assert np.array_equal(x.double().numpy(), list(named.values()), equal_nan=True)
        assert len(np.unique(bits(x))) == 13


def test_the_sweep_skips_nothing(monkeypatch):
    found = inputs.inputs_for(torch.float32, long=True)
    for start in (0, inputs.CHUNK, 0x7F800000, 0x80000000, 0xBF800000, 0xFF800000, 2**32 - inputs.CHUNK):
        x = inputs._patterns_from(start)
        assert ascends(x)
        assert np.array_equal(np.sort(bits(x).view(np.uint32)), np.arange(start, start + inputs.CHUNK))
    monkeypatch.setattr(inputs, "_patterns_from", lambda start: start)
    assert list(found.chunks()) == list(range(0, 2**32, inputs.CHUNK))
    assert found.total == 2**32


def test_an_unknown_dtype():
    with pytest.raises(UnknownName, match="did you mean 'bfloat16'"):
        inputs.dtype_of("bflot16")
