"""Write the tables of README.md from the JSON in benchmarks/results/.

python benchmarks/tables.py                                 # rewrite the tables
python benchmarks/tables.py --demo runs/demo/report.json    # first keep this demo's result
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"

Json = dict[str, Any]


def keep_demo(report: Path) -> None:
    """Copy a demo report without times and curves: its summary is what the table shows."""
    content = json.loads(report.read_text(encoding="utf-8"))
    for arm in content["arms"]:
        for entry in arm["latency"]:
            entry["values"] = []
        for run in (arm["training"] or {}).get("per_seed", []):
            run["curve"] = []
        arm["tool"]["command"] = []
        arm["subject"]["plan"] = []
    content["tool"]["command"] = ["gelu-patch", "demo"]
    (RESULTS / "demo.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def machine(environment: Json) -> str:
    versions = environment["packages"]
    return (
        f"{environment['cpu']}, {environment['cores']} cores, Python {environment['python']}, "
        f"torch {versions['torch']}, transformers {versions['transformers']}"
    )


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header), ["---"] * len(list(header)), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def overhead_table() -> str:
    result = json.loads((RESULTS / "overhead.json").read_text(encoding="utf-8"))
    rows = [
        (name, f"{statistics.median(values) * 1e3:.1f} ms", f"{max(values) * 1e3:.1f} ms", str(len(values)))
        for name, values in result["samples"].items()
    ]
    measured = f"Measured by `benchmarks/overhead.py` at {result['git']} on {machine(result['environment'])}."
    return f"{table(('what', 'median', 'worst', 'samples'), rows)}\n\n{measured}"


def coverage_table() -> str:
    coverage = json.loads((RESULTS / "coverage.json").read_text(encoding="utf-8"))
    threads = json.loads((RESULTS / "threads.json").read_text(encoding="utf-8"))
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
        ("swap of the same mathematics: largest difference", f"{totals['exact_largest']:.1e}"),
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


def memory_table() -> str:
    result = json.loads((RESULTS / "cpu_memory.json").read_text(encoding="utf-8"))
    rows = [
        (
            case,
            arm,
            f"{found['saved_mib']:.1f} MiB",
            f"{found['of_stock'] - 1:+.1%}",
            f"{found['step_peak_above_gradients_mib']:.0f} MiB",
            f"{found['step_peak_mib']:.0f} MiB",
            _gradients(found),
        )
        for case, arms in result["table"].items()
        for arm, found in arms.items()
    ]
    header = ("model", "arm", "saved for backward", "of stock", "peak of a step", "gradients made anew", "gradients")
    measured = (
        f"Measured by `benchmarks/cpu_memory.py` at {result['git']} on {machine(result['environment'])}: "
        f"{result['what']}. Peaks are the rise of the resident set in a process of its own: above weights and "
        "gradients that are there already, and above weights alone with gradients that backward makes anew while it "
        "frees activations. Gradients: against the same values with everything kept; median over the parameters of the "
        "relative difference."
    )
    return f"{table(header, rows)}\n\n{measured}"


def _gradients(found: Json) -> str:
    if "gradients_bit_equal" not in found:
        return ""
    return "bit-equal" if found["gradients_bit_equal"] else f"{found['gradients_off_median']:.1%} off"


def demo_table() -> str:
    result = json.loads((RESULTS / "demo.json").read_text(encoding="utf-8"))
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
    saved = f"{arm['memory'][0]['saved_for_backward_bytes'] / 2**20:.1f} MiB"
    if comparison is None:
        return [*row, "", "1", saved, ""]
    paired = next(each for each in comparison["results"] if each["metric"] == "accuracy")
    ends = ", ".join(f"{100 * end:+.2f}" for end in paired["ci"])
    timed = comparison["latency"][0]
    ratio = f"{timed['ratio']:.3f} [{timed['ci'][0]:.3f}, {timed['ci'][1]:.3f}]"
    return [*row, f"{100 * paired['diff']:+.2f} pp [{ends}]", ratio, saved, comparison["verdict"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="report.json of a finished demo, to be kept")
    arguments = parser.parse_args()
    if arguments.demo:
        keep_demo(arguments.demo)
    text = README.read_text(encoding="utf-8")
    makers = {"overhead": overhead_table, "demo": demo_table, "coverage": coverage_table, "memory": memory_table}
    for name, make in makers.items():
        begin, end = f"<!-- table: {name} -->", "<!-- end of table -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        assert pattern.search(text), f"README.md has no place for the table {name}"
        before, after = pattern.split(text, maxsplit=1)
        text = f"{before}{begin}\n{make()}\n{end}{after}"
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
