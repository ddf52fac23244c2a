"""The table of docs/guide/inspect.md: every model class of Transformers, patched and put back."""

from __future__ import annotations

import json
from pathlib import Path

from ..speed_lib.markdown import machine, table


def coverage_table(results: Path) -> str:
    coverage = json.loads((results / "coverage.json").read_text(encoding="utf-8"))
    threads = json.loads((results / "threads.json").read_text(encoding="utf-8"))
    totals = coverage["totals"]
    rows = [
        (
            "model folders of Transformers: tried / executed a GELU",
            f"{totals['folders']} / {totals['folders_executed']}",
        ),
        (
            "model classes: tried / ran / executed a GELU / passed every check",
            f"{totals['classes']:,} / {totals['classes_ran']:,} / {totals['classes_executed']:,} / "
            f"{totals['classes_passed']:,}",
        ),
        (
            "GELU executions: before / surviving a swap to ReLU",
            f"{totals['executions']:,} / {totals['survivors']:,}",
        ),
        (
            f"swap of the same mathematics: classes within {totals['tolerance']:g} / further, as rounding alone moves "
            "them / further than that",
            f"{totals['classes_checked'] - totals['exact_outside']:,} / "
            f"{totals['exact_outside'] - totals['exact_not_close']} / {totals['exact_not_close']}",
        ),
        (
            "classes not bit-equal after undoing / whose second instance changed meanwhile",
            f"{totals['not_reverted']} / {totals['bystander_changed']}",
        ),
        (
            f"{threads['reading_threads']} threads infer for {threads['seconds']:.0f} s while another patches and "
            "reverts: forwards / patches / wrong outputs",
            f"{threads['inferences']:,} / {threads['patches']:,} / {threads['wrong']}",
        ),
    ]
    measured = (
        f"Measured by `benchmarks/coverage.py` at {coverage['git']} and `benchmarks/threads.py` at {threads['git']} on "
        f"{machine(coverage['environment'])}. Classes that did not run, and why: `docs/coverage.md`."
    )
    return f"{table(('what', 'measured'), rows)}\n\n{measured}"
