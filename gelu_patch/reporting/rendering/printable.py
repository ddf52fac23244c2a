"""Names and texts come from strangers: what a reader must never meet is taken out once, for every format."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from gelu_patch.reporting.schema import Section

M = TypeVar("M", bound=Section)

# Control characters steer terminals, those of writing direction turn a line around, and lone surrogates are no text.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """Return ``text`` with a replacement character for each that is not meant to be read."""
    return _HARMFUL.sub("\ufffd", text)


def printable_model(model: M) -> M:
    """Return a report, or a section of one, with every text in it printable."""
    return type(model).model_validate(_cleaned(model.model_dump(by_alias=True)))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    return value
