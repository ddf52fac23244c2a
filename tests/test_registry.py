"""One kind of list, with near names, aliases and plug-ins."""

import importlib
import pkgutil
from dataclasses import dataclass

import pytest

import gelu_patch
from gelu_patch import registry as module
from gelu_patch.errors import UnknownName, UsageError
from gelu_patch.registry import Registry


@dataclass(frozen=True)
class Thing:
    name: str


@pytest.fixture
def things():
    registry = Registry("odd thing")
    registry.register(Thing("first"), aliases=("one", "1st"))
    registry.register(Thing("second"))
    return registry


def test_names_aliases_and_order(things):
    assert things.names() == ("first", "second")
    assert things.get("1st").name == "first"
    assert things.aliases_of("first") == ("one", "1st")
    assert [thing.name for thing in things] == ["first", "second"]
    assert len(things) == 2
    assert "one" in things
    assert "third" not in things


def test_an_unknown_name_lists_the_known_and_suggests_the_near(things):
    with pytest.raises(UnknownName) as caught:
        things.get("secnd")
    assert "unknown odd thing 'secnd'" in str(caught.value)
    assert "did you mean 'second'?" in str(caught.value)
    assert "known odd things: 1st, first, one, second" in str(caught.value)


@pytest.mark.parametrize(("name", "aliases"), [("first", ()), ("1st", ()), ("new", ("second",)), ("new", ("one",))])
def test_a_taken_name_changes_nothing(things, name, aliases):
    with pytest.raises(UsageError, match="already registered"):
        things.register(Thing(name), aliases=aliases)
    assert things.names() == ("first", "second")


def test_unregistering_takes_the_aliases_along(things):
    things.unregister("one")
    assert "1st" not in things
    things.register(Thing("1st"))


def test_no_two_registries_share_a_group_of_plug_ins():
    """A plug-in of one would be run for the other, too, and its names would be taken the second time."""
    names = [found.name for found in pkgutil.walk_packages(gelu_patch.__path__, "gelu_patch.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    ours = {id(thing): thing.kind for home in modules for thing in vars(home).values() if isinstance(thing, Registry)}
    kinds = list(ours.values())
    assert len(kinds) >= 6
    assert len(set(kinds)) == len(kinds)


class Entry:
    def __init__(self, registry):
        self.registry = registry

    def load(self):
        return lambda: self.registry.register(Thing("plugged in"))


@pytest.mark.parametrize("use", [lambda r: r.get("plugged in"), lambda r: r.names(), list])
def test_plug_ins_are_loaded_once_when_they_are_needed(things, monkeypatch, use):
    asked = []
    monkeypatch.setattr(module, "entry_points", lambda group: asked.append(group) or [Entry(things)])
    assert things.get("first").name == "first"
    assert asked == []
    use(things)
    use(things)
    assert asked == ["gelu_patch.odd_things"]
    assert "plugged in" in things
