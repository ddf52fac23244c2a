"""The goals of the kernels: speed, memory and accuracy on CPUs, and everything on GPUs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ...speed_lib import elementwise_section, linear_section, memory_section, models_section
from ...speed_lib.bars import MODEL_BARS
from ...speed_lib.markdown import Json
from ..accuracy import read
from .goals import NO, OPEN, PARTLY, YES, Row, held_by, measured

UNDECIDED = "undecided"


def on_cpu(results: Path) -> list[Row]:
    """Return the rows of the CPU kernels. Every single bar is a row of docs/performance.md."""
    return [
        measured(
            "elementwise kernels: floors against Transformers, ATen and onnxruntime",
            results / "cpu_elementwise.json", "python benchmarks/cpu_elementwise.py",
            _all_of(elementwise_section.write),
        ),
        measured(
            "Linear and GELU in at most 1.03 times the fastest plain linear, every size and dtype",
            results / "cpu_linear.json", "python benchmarks/cpu_linear.py", _all_of(linear_section.write),
        ),
        *_models(results),
        measured(
            "saved for backward: GPT-2 -50 %, BERT -22 %, with and without dropout, gradients bit-equal",
            results / "cpu_memory.json", "python benchmarks/cpu_memory.py", _all_of(memory_section.write),
        ),
        *_accuracy(results),
        held_by(
            "the same bits for 1, 2 and 3 threads and any slicing or stride",
            "tests/kernels", "tests/contracts/test_kernels.py",
        ),
        held_by("every kind of tensor as `F.gelu` does or better", "tests/kernels", "tests/traps/test_autodiff.py"),
    ]  # fmt: skip


def _all_of(write: Callable[[Json], tuple[str, list[str]]]) -> Callable[[Json], tuple[str, str]]:
    """Count the verdicts of a section of docs/performance.md."""

    def judge(found: Json) -> tuple[str, str]:
        return _summary(write(found)[1])

    return judge


def _summary(verdicts: list[str]) -> tuple[str, str]:
    counted = Counter(verdict.split(":")[0].strip("*").lower() for verdict in verdicts)
    text = ", ".join(f"{number} {state}" for state, number in counted.most_common()) + " ([bar by bar](performance.md))"
    reached = sum(number for state, number in counted.items() if "reached" in state)
    if reached == len(verdicts):
        return text, YES
    if counted["missed"]:
        return text, PARTLY if reached else NO
    return text, OPEN if set(counted) == {OPEN} else UNDECIDED


def _models(results: Path) -> list[Row]:
    file, by = results / "cpu_models.json", "python benchmarks/cpu_models.py"
    rows = []
    for bar in MODEL_BARS:

        def judge(found: Json, bar=bar) -> tuple[str, str]:
            _, _, ratio, shown, verdict, _ = models_section.bar_row(bar, found["pieces"].get(bar.piece))
            state = verdict.split(":")[0]
            reached = YES if "reached" in state else NO if "MISSED" in state else state
            return f"{ratio or 'nothing'}; {shown or verdict}", reached

        rows.append(measured(f"{bar.piece.replace(':', ', ')} threads: {bar.text}", file, by, judge))
    return rows


def _accuracy(results: Path) -> list[Row]:
    file, by = results / "certificate.json", "gelu-patch verify --long --kernel cpu"
    if not file.exists():
        return [measured("kernels as exact as they declare", file, by, lambda _: ("", OPEN))]
    certificate = read(file)
    ours = [(check, certificate.beside(check)) for check in certificate.checks]
    pairs = [(check, theirs) for check, theirs in ours if theirs is not None]
    exceeded = [check for check, _ in pairs if check.bound_used > 1]
    worse = {f"{c.activation} {c.dtype} {c.direction}": c.worse_than(t) for c, t in pairs if c.worse_than(t)}
    whole = all(check.inputs.startswith("all") for check, _ in pairs)
    return [
        Row(
            "no kernel exceeds the error that it declares, over all inputs of every dtype",
            f"{len(exceeded)} of {len(pairs)} checks exceed; {'all' if whole else 'a part of the'} inputs "
            "([table](accuracy.md))",
            f"`{by}`",
            YES if whole and not exceeded else NO,
        ),
        Row(
            "never less exact than PyTorch's op in any region of x",
            "less exact in " + "; ".join(f"{name}: {', '.join(regions)}" for name, regions in worse.items())
            if worse
            else "in none",
            f"`{by}`",
            PARTLY if worse else YES,
        ),
    ]


def on_gpu(results: Path) -> list[Row]:
    """Return the rows of the GPU kernels."""
    return [
        measured(
            "speed, memory and error of G1 to G15 on an NVIDIA GPU",
            results / "gpu.json", "python benchmarks/gpu.py",
            lambda found: ("see [GPUs](gpu.md)", found.get("state", OPEN)),
        ),
    ]  # fmt: skip
