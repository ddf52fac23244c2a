"""The only kind of list in this package: a registry of named things.

CLI choices, documentation tables and contract tests are derived from registries, so a name is written once.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

from gelu_patch.errors import UnknownName, UsageError


class Named(Protocol):
    """What a registered thing must have."""

    @property
    def name(self) -> str:
        """The name under which it is registered."""


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Named things of one kind, in order of registration.

    Other packages extend a registry through the entry point group ``gelu_patch.<kind>s``: each entry point is
    a function without arguments that registers something. They are loaded once, when the registry is listed or
    asked for a name that it does not know.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._entry_points_loaded = False

    def register(self, item: T, *, aliases: tuple[str, ...] = ()) -> T:
        """Add ``item`` under its name and ``aliases``; return it. Raises UsageError when a name is taken."""
        taken = [n for n in (item.name, *aliases) if n in self._items or n in self._aliases]
        if taken:
            raise UsageError(
                f"{self.kind} name {taken[0]!r} is already registered",
                why="a name means one thing in one process",
                next_step="choose another name",
            )
        self._items[item.name] = item
        self._aliases.update(dict.fromkeys(aliases, item.name))
        return item

    def unregister(self, name: str) -> None:
        """Remove the item with this name and its aliases (for tests and plug-ins that are unloaded)."""
        self.get(name)
        name = self._aliases.get(name, name)
        del self._items[name]
        self._aliases = {alias: target for alias, target in self._aliases.items() if target != name}

    def get(self, name: str) -> T:
        """Return the item with this name or alias. Raises UnknownName with near names."""
        if name not in self:
            self._load_entry_points()
        if name not in self:
            raise UnknownName.of(self.kind, name, [*self._items, *self._aliases])
        return self._items[self._aliases.get(name, name)]

    def _load_entry_points(self) -> None:
        if not self._entry_points_loaded:
            self._entry_points_loaded = True
            for entry in entry_points(group=f"gelu_patch.{self.kind.replace(' ', '_')}s"):
                entry.load()()

    def names(self) -> tuple[str, ...]:
        """Return the names (without aliases) in order of registration."""
        self._load_entry_points()
        return tuple(self._items)

    def aliases_of(self, name: str) -> tuple[str, ...]:
        """Return the other names of the item called ``name``."""
        return tuple(alias for alias, target in self._aliases.items() if target == name)

    def __contains__(self, name: object) -> bool:
        return name in self._items or name in self._aliases

    def __iter__(self) -> Iterator[T]:
        self._load_entry_points()
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)
