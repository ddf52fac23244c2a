"""The table of docs/demo.md: what one run of the demo found."""

from __future__ import annotations

import json
from pathlib import Path

from ..speed_lib.markdown import Json, machine, table


def keep_demo(report: Path, results: Path) -> None:
    """Copy a demo report without times and curves: its summary is what the table shows."""
    content = json.loads(report.read_text(encoding="utf-8"))
    for arm in content["arms"]:
        for entry in arm["latency"]:
            entry.update(values=[], quantiles=[], ratio_over_time=[])
        for run in (arm["training"] or {}).get("per_seed", []):
            run["curve"] = []
        arm["tool"]["command"] = []
        arm["subject"]["plan"] = []
    content["tool"]["command"] = ["gelu-patch", "demo"]
    (results / "demo.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def demo_table(results: Path) -> str:
    result = json.loads((results / "demo.json").read_text(encoding="utf-8"))
    arms = {arm["name"]: arm for arm in result["arms"]}
    rows = [_arm_row(arms["stock"], None)]
    rows += [_arm_row(arms[comparison["title"]], comparison) for comparison in result["comparisons"]]
    header = ("arm", "accuracy", "difference to stock", "forward 1x32, ratio", "saved for backward", "verdict")
    checks = "\n".join(
        f"* {check['name']}: {check['measured']} ({'passed' if check['passed'] else 'FAILED'}; bar: {check['bar']})"
        for check in result["checks"]
    )
    when = f"{result['created'][:10]}, {result['duration_s']:.0f} s, {machine(result['environment'])}"
    measured = f"One run of `make demo` ({when}; a noisy machine: read the latency with its interval)."
    return f"{table(header, rows)}\n\n{checks}\n\n{measured}"


def _arm_row(arm: Json, comparison: Json | None) -> list[str]:
    accuracy = next(each for each in arm["quality"] if each["metric"] == "accuracy")
    low, high = accuracy["ci"]
    row = [arm["name"], f"{accuracy['value']:.1%} [{low:.1%}, {high:.1%}]"]
    kept = next(each for each in arm["memory"] if each["phase"] == "forward_backward")["saved_for_backward_bytes"]
    saved = f"{kept / 2**20:.1f} MiB"
    if comparison is None:
        return [*row, "", "1", saved, ""]
    paired = next(each for each in comparison["results"] if each["metric"] == "accuracy")
    ends = ", ".join(f"{100 * end:+.2f}" for end in paired["ci"])
    timed = comparison["latency"][0]
    ratio = f"{timed['ratio']:.3f} [{timed['ci'][0]:.3f}, {timed['ci'][1]:.3f}]"
    return [*row, f"{100 * paired['diff']:+.2f} pp [{ends}]", ratio, saved, comparison["verdict"]]
