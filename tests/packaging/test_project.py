"""What pyproject.toml, constraints.txt and the CHANGELOG say of a release, held against each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from benchmarks.package_lib.closure import CORE, extras
from benchmarks.package_lib.licences import is_copyleft, licence
from benchmarks.package_lib.workspace import TOOLS
from benchmarks.speed_lib.store import load

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
VERSION = PROJECT["version"]
LISTS = {CORE: PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
REQUIREMENTS = [
    Requirement(line)
    for lines in LISTS.values()
    for line in lines
    if canonicalize_name(Requirement(line).name) != PROJECT["name"]
]
RESULTS = ROOT / "benchmarks" / "results" / "package.json"


def pins(name: str = "constraints.txt") -> dict[str, Version]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    found = {canonicalize_name(package): Version(version) for package, version in pairs}
    assert len(found) == len(pairs), "a package is pinned twice"
    return found


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_a_requirement_has_a_lowest_version_and_a_pin_in_its_range(requirement):
    assert any(each.operator in (">=", "~=") for each in requirement.specifier), "no lowest version"
    pin = pins().get(canonicalize_name(requirement.name))
    assert pin is not None, "not in constraints.txt"
    assert pin in requirement.specifier
    old = pins("constraints-transformers4.txt").get(canonicalize_name(requirement.name))
    assert old is None or old in requirement.specifier


@pytest.mark.parametrize("name", ["torch", "transformers", "numpy", "pydantic", "lm-eval"])
def test_what_breaks_its_users_with_a_new_version_has_a_highest_one(name):
    found = next(each for each in REQUIREMENTS if each.name == name)
    assert any(each.operator == "<" for each in found.specifier)


def test_building_needs_no_torch():
    """An isolated build would fetch it, in whatever build the index has: gigabytes."""
    assert [Requirement(line).name for line in SETTINGS["build-system"]["requires"]] == ["setuptools"]


def test_everything_that_an_installation_brings_along_is_pinned():
    found = load(RESULTS)["closure"]["result"]
    names = {canonicalize_name(name) for name in (*found["distributions"], *TOOLS)}
    assert names - set(pins()) == set()
    assert set(found["closures"]) == set(extras()), "an extra was added: python benchmarks/package.py --only closure"
    for extra, lines in LISTS.items():
        closure = {canonicalize_name(name) for name in found["closures"][extra]}
        wanted = {canonicalize_name(Requirement(line).name) for line in lines} - {PROJECT["name"]}
        assert wanted <= closure, f"{extra} has changed: python benchmarks/package.py --only closure"


def test_the_version_stands_in_one_place_and_has_its_entry():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = re.findall(r"^## (\S+)(?: - (\d{4}-\d\d-\d\d))?$", changes, flags=re.MULTILINE)
    assert entries[0] == ("Unreleased", "")
    assert entries[1][0] == VERSION
    assert entries[1][1], "the release has no date"
    said = re.compile(rf"""(?i)version\w*\s*[:=]\s*["']{re.escape(VERSION)}["']""")
    sources = [ROOT / "setup.py", *(ROOT / "gelu_patch").rglob("*.py"), *(ROOT / "gelu_patch").rglob("*.pyi")]
    assert [path for path in sources if said.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("metadata", "expected", "copyleft"),
    [
        ({"license_expression": "MPL-2.0"}, "MPL-2.0", True),
        ({"license_expression": "MIT OR GPL-2.0-only"}, "MIT OR GPL-2.0-only", False),
        ({"license": "UNKNOWN", "classifier": ["License :: OSI Approved :: MIT License"]}, "MIT License", False),
        ({"license": "Dual License", "classifier": ["License :: OSI Approved"]}, "not stated", False),
        ({"license": "LGPL-2.1-or-later", "classifier": []}, "LGPL-2.1-or-later", True),
        ({"license": "Copyright\nall of its text", "classifier": []}, "not stated", False),
        ({"license": "(c)\nPermission is hereby\ngranted, free of charge"}, "MIT (from its text)", False),
        ({"name": "pytest", "license": ""}, "MIT (from its text)", False),
    ],
)
def test_the_name_of_a_licence(metadata, expected, copyleft):
    found = licence({"name": "no-such-distribution"} | metadata)
    assert found == expected
    assert is_copyleft(found) is copyleft
