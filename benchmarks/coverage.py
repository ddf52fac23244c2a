"""Every model class of the installed Transformers: built small, run, patched, compared, reverted.

Appends one line a class to benchmarks/results/coverage.jsonl; stopped and started again, it goes on. At the end it
writes benchmarks/results/coverage.json and docs/coverage.md.

    python benchmarks/coverage.py                          # all of it, tens of minutes on one core
    python benchmarks/coverage.py --only bert,whisper      # these folders
    python benchmarks/coverage.py --retry-failed           # once more what failed
    python benchmarks/coverage.py --fresh                  # forget the rows

More classes are built where timm and torchvision are installed; no extra has them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coverage_lib.results import Results

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "coverage.jsonl"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="folders below transformers/models, separated by commas")
    parser.add_argument("--classes", default="", help="classes, separated by commas")
    parser.add_argument("--fresh", action="store_true", help="forget the rows of earlier runs")
    parser.add_argument("--retry-failed", action="store_true", help="run failed classes again")
    parser.add_argument("--again", action="store_true", help="run the selected classes again, whatever their rows say")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are")
    parser.add_argument("--no-report", action="store_true", help="do not write coverage.json and docs/coverage.md")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.worker is not None:
        from coverage_lib.worker import serve

        serve(options.worker)
        return
    from coverage_lib.run import run_all

    results = Results(options.results, fresh=options.fresh)
    run_all(
        results,
        folders=set(filter(None, options.only.split(","))),
        classes=set(filter(None, options.classes.split(","))),
        retry_failed=options.retry_failed,
        again=options.again,
    )
    if not options.no_report:
        from coverage_lib.report import write_report

        write_report(results, ROOT)


if __name__ == "__main__":
    sys.exit(main())
