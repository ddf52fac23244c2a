"""The table of README.md: where a swap of the same mathematics pays on a CPU, and where it does not."""

from __future__ import annotations

import json
from pathlib import Path

from ..speed_lib.markdown import Json, machine, table
from ..speed_lib.models_section import PHASES, title_of, unfit
from ..speed_lib.names import AGAIN, LIMIT, OURS, STOCK
from ..speed_lib.ratios import effect, speed

HEADER = ("on two cores of a CPU", "times as fast as stock", "with no activation at all (the limit)", "it pays")
# One row for each model, dtype and phase; two threads only where one was not measured.
THREADS = ("1", "2")
DEFAULT = "gelu_fused, balanced"


def pays_table(results: Path) -> str:
    """Return what was measured of ``gelu_fused`` on whole models, and what training keeps."""
    pieces = json.loads((results / "cpu_models.json").read_text(encoding="utf-8"))["pieces"]
    memory = json.loads((results / "cpu_memory.json").read_text(encoding="utf-8"))
    chosen: dict[tuple[str, str, str], Json] = {}
    for threads in THREADS:
        for key, piece in pieces.items():
            model, dtype, phase, of_piece = key.split(":")
            if of_piece == threads and not unfit(piece) and {OURS, AGAIN, LIMIT} <= set(piece["samples"]):
                chosen.setdefault((model, dtype, phase), piece)
    rows = [_row(dtype, phase, piece) for (_, dtype, phase), piece in chosen.items()]
    where = {machine(piece["environment"]) for piece in chosen.values()}
    measured = (
        '`patch_model(model, "gelu_fused")`, medians with 95 % intervals; “no” where stock differs from itself by as '
        "much. A fused Linear may be multiplied by oneDNN, and so pass the limit, which has PyTorch's products. "
        f"Measured by `benchmarks/cpu_models.py` on {'; '.join(sorted(where))}."
    )
    return f"{table(HEADER, rows)}\n\n{measured}\n\n{_memory(memory)}"


def _row(dtype: str, phase: str, piece: Json) -> tuple[str, str, str, str]:
    samples = piece["samples"]
    found, control = speed(samples, OURS, STOCK), speed(samples, AGAIN, STOCK)
    limit = speed(samples, LIMIT, STOCK)
    shown = effect(found, control)
    pays = "no" if shown.startswith("no gain") else "**slower**" if shown.startswith("slower") else "yes"
    return f"{title_of(piece)}, {dtype}, {PHASES[phase]}", str(found), str(limit), pays


def _memory(result: Json) -> str:
    """Say in one sentence what training keeps for backward; the page has the cases without dropout, too."""
    ending = ", with dropout"
    parts = [
        f"{case.removesuffix(ending)} {arms[STOCK]['saved_mib']:.0f} to {arms[DEFAULT]['saved_mib']:.0f} MiB"
        for case, arms in result["table"].items()
        if DEFAULT in arms and case.endswith(ending)
    ]
    return (
        "What a training step keeps for backward, with dropout and bit-equal gradients "
        f"([more](docs/performance.md#memory-of-training)): {'; '.join(parts)}."
    )
