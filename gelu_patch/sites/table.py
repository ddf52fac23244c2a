"""Small helpers for tables of sites: one row for the same site of many layers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:  # rich takes longer to import than a model to inspect
    from rich.table import Table


class HasName(Protocol):
    """Anything with the dotted path of a site."""

    @property
    def name(self) -> str:
        """The dotted path."""


T = TypeVar("T", bound=HasName)

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.)")


def collapse(things: Iterable[T], shown: Callable[[T], Hashable] = lambda thing: ()) -> list[tuple[str, list[T]]]:
    """Group things whose names differ only in layer numbers: ``layer.0.act`` and ``layer.1.act`` become
    ``("layer.[0-1].act", [...])``, in order of first appearance.

    ``shown`` is what a row says of a thing besides its name: things of which it differs have rows of their own.
    """
    groups: dict[tuple[str, Hashable], list[T]] = {}
    for thing in things:
        groups.setdefault((_NUMBER.sub("#", thing.name), shown(thing)), []).append(thing)
    return [(_pattern(group), group) for group in groups.values()]


def _pattern(group: list[T]) -> str:
    columns = list(zip(*(_NUMBER.findall(thing.name) for thing in group), strict=True))
    ranges = (_range(sorted({int(number) for number in column})) for column in columns)
    return _NUMBER.sub(lambda _: next(ranges), group[0].name)


def _range(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"[{numbers[0]}-{numbers[-1]}]"
    return f"[{','.join(map(str, numbers))}]"


def plain_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Return a table in the one style of this package. Cells are shown as they are: code has brackets too."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def as_text(renderable: Any, width: int = 200) -> str:
    """Render something of rich as plain text; wide, because a folded site path cannot be copied."""
    from rich.console import Console

    target = io.StringIO()
    # In a notebook rich would show the text at once and leave none; with FORCE_COLOR it would put escapes into it.
    console = Console(file=target, width=width, color_system=None, highlight=False, soft_wrap=True, force_jupyter=False)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in target.getvalue().rstrip().splitlines())
