"""The goals of finding GELUs, replacing them, and the whole path on a real checkpoint."""

from __future__ import annotations

from pathlib import Path

from ...speed_lib.markdown import Json
from .goals import PARTLY, Row, held_by, measured


def rows(results: Path) -> list[Row]:
    """Return the rows."""
    coverage, overhead, demo = results / "coverage.json", results / "overhead.json", results / "demo.json"
    return [
        measured(
            "every model class that executes GELU: none survives a swap to ReLU; at least 600 classes, 327 folders",
            coverage, "python benchmarks/coverage.py", _survivors,
        ),
        measured(
            "the same mathematics gives the same outputs (1e-5) on each, undoing is bit-equal on each",
            coverage, "python benchmarks/coverage.py",
            _same_mathematics,
        ),
        measured(
            "a second model of every class is bit-identical before, during and after",
            coverage, "python benchmarks/coverage.py",
            lambda found: (
                f"{found['totals']['bystander_changed']} of {found['totals']['classes_checked']:,} changed",
                not found["totals"]["bystander_changed"],
            ),
        ),
        held_by("36 ways in which patched models go wrong: none ends silently wrong", "tests/traps"),
        measured(
            "0 wrong outputs in 60 s of inference while another thread patches and reverts",
            results / "threads.json", "python benchmarks/threads.py",
            lambda found: (f"{found['wrong']} of {found['inferences']:,} outputs", not found["wrong"]),
        ),
        measured(
            "at 1,000 modules: `inspect_model` below 0.1 s, `patch_model` below 0.3 s; linear in modules",
            overhead, "python benchmarks/overhead.py", _thousand_modules,
        ),
        measured(
            "12-layer BERT inspected in less than 50 ms, 24-layer GPT-2 patched on meta in less than 0.2 s",
            overhead, "python benchmarks/overhead.py", _whole_models,
        ),
        held_by(
            "`import gelu_patch` imports neither torch nor transformers",
            "tests/cli/test_verbs.py::test_importing_the_package_is_free",
        ),
        measured(
            "demo: stock and gelu_fused of equal accuracy within the interval, both at least 75 %",
            demo, "make demo", _demo,
        ),
        measured(
            "demo: logits before training within 1e-5; undoing exact; GPT-2's saved tensors 4 to 1",
            demo, "make demo",
            lambda found: (
                "; ".join(check["measured"] for check in found["checks"]),
                all(check["passed"] for check in found["checks"]),
            ),
        ),
        held_by("planted faults are caught", "tests/faults/test_planted.py"),
    ]  # fmt: skip


def _survivors(found: Json) -> tuple[str, bool | str]:
    totals = found["totals"]
    text = (
        f"{totals['survivors']} of {totals['executions']:,} executions survive; {totals['classes']:,} classes tried, "
        f"{totals['classes_executed']:,} executed one, {totals['folders_executed']} folders executed one"
    )
    return text, not totals["survivors"] and totals["classes"] >= 600


def _same_mathematics(found: Json) -> tuple[str, bool | str]:
    totals = found["totals"]
    checked, outside, faults = totals["classes_checked"], totals["exact_outside"], totals["exact_not_close"]
    text = f"{checked - outside:,} of {checked:,} classes within {totals['tolerance']:g}"
    if outside:
        text += (
            f"; {outside - faults} others amplify last bits: the same GELUs with last bits drawn at random differ from "
            f"stock as well ([by class](coverage.md)); {faults} further than that explains"
        )
    text += f". {totals['not_reverted']} not bit-equal after undoing"
    if faults or totals["not_reverted"]:
        return text, False
    return text, PARTLY if outside else True


def _median(found: Json, name: str) -> float:
    values = sorted(found["samples"][name])
    return float(values[len(values) // 2])


def _thousand_modules(found: Json) -> tuple[str, bool]:
    inspecting = _median(found, "inspect_model, 1,022 modules")
    patching = max(_median(found, f"patch_model to {target}, 1,022 modules") for target in ("gelu_fused", "relu"))
    growth = _median(found, "patch_model to gelu_fused, 10,022 modules") / _median(
        found, "patch_model to gelu_fused, 1,022 modules"
    )
    text = f"{1e3 * inspecting:.0f} ms, {1e3 * patching:.0f} ms; 10 times the modules cost {growth:.0f} times as much"
    return text, inspecting < 0.1 and patching < 0.3


def _whole_models(found: Json) -> tuple[str, bool]:
    inspecting = _median(found, "first inspect_model, 12-layer BERT on meta")
    first, later = (_median(found, f"{which}patch_model, 24-layer GPT-2 on meta") for which in ("first ", ""))
    found_in, patched_in = f"{1e3 * inspecting:.0f} ms", f"{1e3 * first:.0f} ms at first, {1e3 * later:.0f} ms then"
    text = f"inspected in {found_in}; patched in {patched_in}"
    return text, inspecting < 0.05 and max(first, later) < 0.2


def _demo(found: Json) -> tuple[str, bool | str]:
    arms = {arm["name"]: next(q for q in arm["quality"] if q["metric"] == "accuracy") for arm in found["arms"]}
    stock, fused = arms["stock"], arms["gelu_fused retrained"]
    text = f"{stock['value']:.1%} and {fused['value']:.1%}, interval [{stock['ci'][0]:.1%}, {stock['ci'][1]:.1%}]"
    within = stock["ci"][0] <= fused["value"] <= stock["ci"][1]
    return text, within and min(stock["value"], fused["value"]) >= 0.75
