"""The table of docs/guide/measure.md: how often the latency protocol errs where the truth is planted."""

from __future__ import annotations

import json
from pathlib import Path

from ..speed_lib.markdown import machine, table

HEADER = ("planted", "runs", "FASTER or SLOWER", "SAME or NOT SLOWER", "INVALID: its own control failed")


def protocol_table(results: Path) -> str:
    result = json.loads((results / "aa.json").read_text(encoding="utf-8"))
    rows = []
    for kind, runs in result["runs"].items():
        states = [run["state"] for run in runs]
        told = sum(state in ("FASTER", "SLOWER") for state in states)
        invalid = states.count("INVALID")
        rows.append((kind, str(len(runs)), str(told), str(len(runs) - told - invalid), str(invalid)))
    return f"{table(HEADER, rows)}\n\nMeasured by `benchmarks/aa.py` on {machine(result['environment'])}."
