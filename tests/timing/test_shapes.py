import pytest

from gelu_patch.errors import UnknownName, UsageError
from gelu_patch.timing.shapes import parse_phases, parse_shapes, shape_text


def test_shapes() -> None:
    assert parse_shapes("1x128, 8X64,1x128,2×3") == ((1, 128), (8, 64), (2, 3))
    assert shape_text((8, 128)) == "8x128"


@pytest.mark.parametrize("text", ["8x", "x8", "8", "", "8x128x3", "0x8", "8x0", "-1x8", "8x1.5", "axb", "1x2,"])
def test_shapes_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the shape") as error:
        parse_shapes(text)
    assert "1x128,8x128" in str(error.value)


def test_phases() -> None:
    assert parse_phases("generate, forward,generate") == ("generate", "forward")
    with pytest.raises(UnknownName, match="forwards"):
        parse_phases("forwards")
