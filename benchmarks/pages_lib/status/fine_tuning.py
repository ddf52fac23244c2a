"""The goals of fine-tuning."""

from __future__ import annotations

from pathlib import Path

from ...speed_lib.markdown import Json
from .goals import PARTLY, ROOT, Row, held_by, measured

MIB = 2**20
GALLERY = ROOT / "docs" / "gallery"


def rows(results: Path) -> list[Row]:
    """Return the rows."""
    return [
        measured(
            "loss curves of stock and gelu_fused over 200 steps differ by less than the spread of seeds / 20",
            results / "equality.json", "python benchmarks/equality.py", _curves,
        ),
        measured(
            "accuracy of gelu_fused, fine-tuned, is NON_INFERIOR on Rotten Tomatoes",
            results / "equality.json", "python benchmarks/equality.py",
            lambda found: (
                f"{found['accuracy']['state']}: {100 * found['accuracy']['diff']:+.2f} pp on "
                f"{found['accuracy']['n_test']:,} sentences, {len(found['seeds'])} seeds",
                found["accuracy"]["state"] == "NON_INFERIOR",
            ),
        ),
        measured(
            "five activations x five seeds on MiniLM, ranked with Holm's intervals",
            GALLERY / "ablation_minilm" / "report.json", "make ablation", _ablation(5),
        ),
        measured(
            "five activations x three seeds on a small GPT-2",
            GALLERY / "ablation_small_gpt2" / "report.json", "make ablation", _ablation(3),
        ),
        measured(
            "50 kills (-9) at random moments of training: 0 unusable resumes, the same bytes as without a kill",
            results / "kills.json", "python benchmarks/kills.py",
            lambda found: (
                f"{found['unusable']} unusable, {len(found['failures'])} other bytes; "
                f"{found['kills_while_a_checkpoint_was_written']} kills hit a checkpoint being written",
                found["kills"] >= 50 and not found["unusable"] and not found["failures"],
            ),
        ),
        held_by("a full disk never damages an existing checkpoint", "tests/training/test_checkpoints.py"),
        measured(
            "eight processes have the loss curve of one",
            results / "processes.json", "python benchmarks/processes.py", _processes("eight processes"),
        ),
        measured(
            "two hosts have the loss curve of one process",
            results / "processes.json", "python benchmarks/processes.py", _processes("two hosts"),
        ),
        measured(
            "saved bytes and peak of a training step of MiniLM and GPT-2, stock against patched, are in the report",
            results / "training_memory.json", "python benchmarks/training_memory.py", _memory,
        ),
        measured(
            "the loop costs less than 3 % of a step beyond forward, backward and optimizer",
            results / "training_overhead.json", "python benchmarks/training_overhead.py", _overhead,
        ),
        held_by("bad input is refused with what to do next", "tests/training", "tests/cli/test_train.py"),
    ]  # fmt: skip


def _curves(found: Json) -> tuple[str, bool]:
    window = found["loss"][0]  # of single steps, the strictest
    text = f"largest difference {window['largest_difference']:.1e} nat, bar {window['bar']:.1e}, {found['steps']} steps"
    return text, window["largest_difference"] < window["bar"] and found["steps"] >= 200


def _ablation(seeds: int):
    def judge(found: Json) -> tuple[str, bool]:
        arms = found["ablation"]["arms"]
        ranked = ", ".join(f"{arm['name']} {arm['outcome']}" for arm in arms)
        return ranked, len(arms) >= 5 and all(arm["seeds"] >= seeds for arm in arms)

    return judge


def _processes(kind: str):
    def judge(found: Json) -> tuple[str, bool | str]:
        run = found["runs"].get(kind, {"not run": "not tried"})
        if "not run" in run:
            return f"not run: {run['not run'].splitlines()[0][:120]}", "not measured"
        difference = run["largest_difference_of_a_loss"]
        return f"largest difference of a loss {difference:.1e} over {run['steps']} steps", difference < 1e-5

    return judge


def _memory(found: Json) -> tuple[str, bool]:
    by_model: dict[tuple[str, str], list[Json]] = {}
    for entry in found["measured"]:
        by_model.setdefault((entry["model"], "x".join(map(str, entry["shape"]))), []).append(entry)
    text = "; ".join(
        f"{model} {shape}: saved {_path(entries, 'saved_for_backward_bytes')}, peak of the process "
        f"{_path(entries, 'host_peak_rss_bytes')}"
        for (model, shape), entries in by_model.items()
    )
    return f"stock to balanced to max. {text}", len({model for model, _ in by_model}) == 2


def _path(entries: list[Json], what: str) -> str:
    return " to ".join(f"{entry[what] / MIB:.0f}" for entry in entries) + " MiB"


def _overhead(found: Json) -> tuple[str, bool | str]:
    cells = found["cells"]
    text = "; ".join(
        f"{cell['overhead_share']:.1%} at {cell['batch']}x{cell['length']} ({cell['step_ms']:.0f} ms a step)"
        for cell in cells
    )
    reached = [cell["overhead_share"] < cell["bar"] for cell in cells]
    return text, PARTLY if any(reached) and not all(reached) else all(reached)
