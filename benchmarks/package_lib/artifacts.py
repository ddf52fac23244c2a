"""What is built, how large it is, and what is in it."""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from .workspace import ROOT, Workspace, clean_environment, run

TAG = "cp311-abi3"
NOT_IN_A_WHEEL = ("tests/", "benchmarks/", "docs/", "examples/", "gelu_patch/kernels/cpu/source/")
# Run in the unpacked sdist, without git and without the C extension: the rules of the house, the mathematics, the
# finding of sites and the package itself.
TESTS = ("tests/test_structure.py", "tests/activations", "tests/sites", "tests/packaging/test_project.py")
# Of the repository, not of the project.
NOT_IN_AN_SDIST = {".gitignore", ".pre-commit-config.yaml", ".ci/run"}


def names_in_wheel(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as packed:
        return packed.namelist()


def names_in_sdist(sdist: Path) -> list[str]:
    """Return the files below the folder that an sdist has at its top."""
    with tarfile.open(sdist) as packed:
        return [name.partition("/")[2] for name in packed.getnames() if "/" in name]


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as packed:
        name = next(name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(packed.read(name).decode())


def wheel_problems(wheel: Path, source: Path) -> list[str]:
    """Return what is missing in a wheel and what should not be in it; ``source`` is the tree that it was built of."""
    names = set(names_in_wheel(wheel))
    wanted = {path.relative_to(source).as_posix() for path in (source / "gelu_patch").rglob("*") if path.is_file()}
    wanted = {name for name in wanted if not name.startswith(NOT_IN_A_WHEEL) and "__pycache__" not in name}
    missing = sorted(wanted - names)
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        missing.append("LICENSE")
    extra = sorted(
        name
        for name in names
        if name.startswith(NOT_IN_A_WHEEL) or not re.match(r"gelu_patch(/|-[\d.]+\.dist-info/)", name)
    )
    return [*(f"missing: {name}" for name in missing), *(f"should not be there: {name}" for name in extra)]


def extension_problems(wheel: Path) -> list[str]:
    """Return what is wrong with the compiled part."""
    found = [name for name in names_in_wheel(wheel) if name.endswith((".so", ".pyd"))]
    problems = [] if found == ["gelu_patch/kernels/cpu/_native.abi3.so"] else [f"compiled files: {found}"]
    return problems + ([] if f"-{TAG}-" in wheel.name else [f"the tag of {wheel.name} is not {TAG}"])


def sdist_problems(sdist: Path, tracked: set[str]) -> list[str]:
    """Return the committed files that an sdist lacks, and files that were not committed."""
    names = {name for name in names_in_sdist(sdist) if not name.endswith("/")}
    missing = sorted(tracked - NOT_IN_AN_SDIST - names)
    with tarfile.open(sdist) as packed:
        files = {member.name.partition("/")[2] for member in packed.getmembers() if member.isfile()}
    made = {name for name in files if name in ("PKG-INFO", "setup.cfg") or ".egg-info/" in name}
    extra = sorted(files - made - tracked)
    return [*(f"missing: {name}" for name in missing), *(f"was not committed: {name}" for name in extra)]


def problems_of_tests(sdist: Path, folder: Path) -> list[str]:
    """Unpack the sdist and run some of its tests there; return the end of what they say unless all passed."""
    with tarfile.open(sdist) as packed:
        packed.extractall(folder, filter="data")
    [tree] = folder.iterdir()
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS)
    said = run(*command, cwd=tree, env=clean_environment(PYTHONPATH=str(tree), OMP_NUM_THREADS="1"), check=False)
    last = said.strip().rpartition("\n")[2]
    return [] if " passed" in last and "failed" not in last and "error" not in last else [said[-1000:]]


def metadata_problems(found: Message) -> list[str]:
    """Return what a reader of the index would miss or should not see."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    expected = {
        "Version": project["version"],
        "License-Expression": project["license"],
        "Requires-Python": project["requires-python"],
        "Description-Content-Type": "text/markdown",
    }
    problems = [f"{key} is {found[key]}, not {value}" for key, value in expected.items() if found[key] != value]
    classifiers = found.get_all("Classifier") or []
    problems += [f"no classifier {name}" for name in project["classifiers"] if name not in classifiers]
    urls = [line.partition(", ")[2] for line in found.get_all("Project-URL") or []]
    problems += [] if urls else ["no address of the project"]
    problems += [f"no public address: {url}" for url in urls if not url.startswith("https://")]
    body = found.get_payload()
    assert isinstance(body, str)
    paths = re.findall(r"(?:file://|/(?:home|root|tmp)/)\S+", body)
    return problems + [f"a path of a machine: {path}" for path in paths]


def measure(workspace: Workspace) -> dict[str, Any]:
    tracked = set(run("git", "ls-tree", "-r", "--name-only", "HEAD", cwd=ROOT).splitlines())
    wheel, sdist = workspace.wheel, workspace.sdist
    audit = run(workspace.tools.python, "-m", "abi3audit", "--strict", "--report", wheel, check=False)
    symbols = json.loads(audit)["specs"][str(wheel)]["wheel"]
    twine = run(workspace.tools.python, "-m", "twine", "check", "--strict", wheel, sdist, check=False)
    checks = {
        "the wheel has all of the package, py.typed, templates and licence, and nothing else": wheel_problems(
            wheel, workspace.source
        ),
        f"its compiled part serves every Python from 3.11 on ({TAG})": extension_problems(wheel),
        "`abi3audit --strict`: it uses the stable ABI alone": [
            f"{each['name']}: {each['result']}" for each in symbols if not each["result"]["is_abi3_baseline_compatible"]
        ]
        + ([] if len(symbols) == 1 else [f"{len(symbols)} libraries"]),
        "the sdist has every committed file, and no other": sdist_problems(sdist, tracked),
        "metadata: version, licence expression, classifiers, addresses": metadata_problems(metadata(wheel)),
        "tests of the unpacked sdist pass": problems_of_tests(sdist, workspace.empty_folder("unpacked")),
        "`twine check --strict`: the README renders": [] if twine.count("PASSED") == 2 else [twine[-500:]],
    }
    return {
        "files": {
            kind: {"name": path.name, "bytes": path.stat().st_size, "files": number}
            for kind, path, number in (
                ("wheel", wheel, len(names_in_wheel(wheel))),
                ("sdist", sdist, len([name for name in names_in_sdist(sdist) if not name.endswith("/")])),
            )
        },
        "checks": checks,
    }
