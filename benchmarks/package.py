"""gelu-patch as a package: built, looked into, installed in empty environments, type-checked from outside, timed.

Of the committed tree. Writes benchmarks/results/package.json, piece by piece; a piece that is measured again replaces
its piece. Needs a package index:

    python benchmarks/package.py                                # everything: about eight minutes
    python benchmarks/package.py --only imports                 # one piece
    python benchmarks/package.py --workspace DIR --only types   # go on with the environments of an earlier call
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # as a script, `benchmarks` is no package

from benchmarks.package_lib import artifacts, closure, imports, installs, strict  # noqa: E402
from benchmarks.package_lib.workspace import Workspace  # noqa: E402
from benchmarks.speed_lib.store import keep  # noqa: E402
from gelu_patch.environment import fingerprint  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "package.json"
PIECES: dict[str, Callable[[Workspace], dict[str, Any]]] = {
    "artifacts": artifacts.measure,
    "installs": installs.measure,
    "types": strict.measure,
    "closure": closure.measure,
    "imports": imports.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PIECES, help="this piece; may be given several times")
    parser.add_argument("--workspace", type=Path, help="scratch folder that stays (default: a temporary one)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gelu-patch-package-") as temporary:
        workspace = Workspace((given.workspace or Path(temporary)).resolve())
        workspace.path.mkdir(parents=True, exist_ok=True)
        for name in given.only or PIECES:
            started = time.perf_counter()
            found = PIECES[name](workspace)
            about = {"git": workspace.commit, "environment": fingerprint()}
            keep(given.results, name, {"result": found, **about}, PIECES)
            print(f"{name}: {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
