"""Branch coverage of the packages whose mistakes are the most expensive, each by the tests that mirror it.

Writes benchmarks/results/branches.json; a package that is not run keeps what it has:

    python benchmarks/branches.py [--package stats]

What other tests reach, and what runs in processes that tests start, is not counted.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # not this folder: its coverage.py would hide the library of that name

from benchmarks.mutants_lib import PACKAGES  # noqa: E402
from gelu_patch.environment import fingerprint, git_commit  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "branches.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", action="append", choices=PACKAGES, help="only this one; may be repeated")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    written: dict[str, Any] = {"packages": {}}
    if chosen.results.exists():
        written = json.loads(chosen.results.read_text(encoding="utf-8"))
    for package in chosen.package or PACKAGES:
        found = written["packages"][package] = covered(package)
        written |= {
            "tool": "coverage", "version": importlib.metadata.version("coverage"), "environment": fingerprint(),
        }  # fmt: skip
        chosen.results.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        print(f"{package}: {found['covered_branches']} of {found['branches']} branches, {found['tests']}", flush=True)


def covered(package: str) -> dict[str, Any]:
    """Run the tests of one package; return what they covered of it, with what is missing by file."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{package}",
            f"--cov=gelu_patch/{package}", "--cov-branch", f"--cov-report=json:{report}",
        ]  # fmt: skip
        environment = os.environ | {"COVERAGE_FILE": str(Path(folder, "data")), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"the tests of {package} do not pass:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        found = json.loads(report.read_text(encoding="utf-8"))
    total = found["totals"]
    return {
        "commit": git_commit(),
        "tests": done.stdout.strip().splitlines()[-1],
        "statements": total["num_statements"],
        "covered_statements": total["covered_lines"],
        "branches": total["num_branches"],
        "covered_branches": total["covered_branches"],
        "missing": {
            name: {"lines": file["missing_lines"], "branches": file["missing_branches"]}
            for name, file in found["files"].items()
            if file["missing_lines"] or file["missing_branches"]
        },
    }


if __name__ == "__main__":
    main()
