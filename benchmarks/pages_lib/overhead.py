"""docs/overhead.md: what the package itself costs."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from ..speed_lib.markdown import machine, table


def overhead_table(results: Path) -> str:
    result = json.loads((results / "overhead.json").read_text(encoding="utf-8"))
    rows = [
        (name, f"{statistics.median(values) * 1e3:.1f} ms", f"{max(values) * 1e3:.1f} ms", str(len(values)))
        for name, values in result["samples"].items()
    ]
    measured = f"Measured by `benchmarks/overhead.py` at {result['git']} on {machine(result['environment'])}."
    return f"{table(('what', 'median', 'worst', 'samples'), rows)}\n\n{measured}"
