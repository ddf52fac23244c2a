"""Write the generated pages and tables of docs/ and README.md from the JSON in benchmarks/results/ and the registries.

python benchmarks/tables.py                                 # rewrite them
python benchmarks/tables.py --demo runs/demo/report.json    # first keep this demo's result
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # as a script, `benchmarks` is no package

from benchmarks.pages_lib.accuracy import accuracy_table  # noqa: E402
from benchmarks.pages_lib.coverage import coverage_table  # noqa: E402
from benchmarks.pages_lib.demo import demo_table, keep_demo  # noqa: E402
from benchmarks.pages_lib.dependencies import dependencies_page  # noqa: E402
from benchmarks.pages_lib.latency_protocol import protocol_table  # noqa: E402
from benchmarks.pages_lib.method_cards import method_cards  # noqa: E402
from benchmarks.pages_lib.overhead import overhead_table  # noqa: E402
from benchmarks.pages_lib.package import package_table  # noqa: E402
from benchmarks.pages_lib.pays import pays_table  # noqa: E402
from benchmarks.pages_lib.status import status_page  # noqa: E402
from benchmarks.speed_lib.page import page as performance_page  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
Maker = Callable[[Path], str]

# Whole pages, and what makes them.
PAGES: dict[str, Maker] = {
    "docs/activations.md": method_cards,
    "docs/dependencies.md": dependencies_page,
    "docs/performance.md": performance_page,
    "docs/status.md": status_page,
}
# Tables inside of pages: the page, the table's name in it, and what makes it.
TABLES: tuple[tuple[str, str, Maker], ...] = (
    ("README.md", "pays", pays_table),
    ("docs/guide/inspect.md", "coverage", coverage_table),
    ("docs/guide/measure.md", "aa", protocol_table),
    ("docs/demo.md", "demo", demo_table),
    ("docs/overhead.md", "overhead", overhead_table),
    ("docs/overhead.md", "package", package_table),
    ("docs/accuracy.md", "accuracy", accuracy_table),
)


def with_table(text: str, name: str, content: str) -> str:
    """Return the page with ``content`` between the marks of the table ``name``."""
    begin, end = f"<!-- table: {name} -->", "<!-- end of table -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    assert len(pattern.findall(text)) == 1, f"no place, or more than one, for the table {name}"
    before, after = pattern.split(text)
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="report.json of a finished demo, to be kept")
    arguments = parser.parse_args()
    if arguments.demo:
        keep_demo(arguments.demo, RESULTS)
    for path, name, make in TABLES:
        file = ROOT / path
        file.write_text(with_table(file.read_text(encoding="utf-8"), name, make(RESULTS)), encoding="utf-8")
    for path, make in PAGES.items():
        (ROOT / path).write_text(make(RESULTS), encoding="utf-8")


if __name__ == "__main__":
    main()
