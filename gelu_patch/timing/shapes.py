"""Shapes and phases: what is timed, and how a command line says so."""

from __future__ import annotations

import re
from typing import Literal, get_args

from gelu_patch.errors import UnknownName, UsageError

Phase = Literal["forward", "forward_backward", "generate"]
PHASES: tuple[Phase, ...] = get_args(Phase)
Shape = tuple[int, int]

_SHAPE = re.compile(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*")


def shape_text(shape: Shape) -> str:
    """Return ``8x128``."""
    return "x".join(map(str, shape))


def parse_shapes(text: str) -> tuple[Shape, ...]:
    """Read ``1x128,8x128``: batch and length, both at least 1; a repetition is left out. Raises UsageError."""
    return tuple(dict.fromkeys(_parse_shape(part, text) for part in text.split(",")))


def _parse_shape(part: str, text: str) -> Shape:
    found = _SHAPE.fullmatch(part)
    if found is None or 0 in (shape := (int(found[1]), int(found[2]))):
        raise UsageError(
            f"cannot read the shape {part.strip()!r}",
            where=f"--shapes {text}",
            why="a shape is BATCHxLENGTH, two whole numbers of at least 1",
            next_step="--shapes 1x128,8x128",
        )
    return shape


def parse_phases(text: str) -> tuple[Phase, ...]:
    """Read ``forward,generate``. Raises UnknownName."""
    return check_phases(tuple(part.strip() for part in text.split(",")))


def check_phases(names: tuple[str, ...]) -> tuple[Phase, ...]:
    """Return the phases, each once, in the order given. Raises UnknownName, UsageError when there is none."""
    if not names:
        raise UsageError("there is no phase to measure", next_step='phases=["forward"]')
    for name in names:
        if name not in PHASES:
            raise UnknownName.of("phase", name, PHASES, next_step="--phase forward,forward_backward")
    return tuple(phase for phase in dict.fromkeys(names) if phase in PHASES)
