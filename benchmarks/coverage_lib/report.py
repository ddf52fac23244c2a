"""Writing benchmarks/results/coverage.json and docs/coverage.md from the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gelu_patch.environment import fingerprint, git_commit

from . import summary
from .results import Results
from .rounding import DRAWS, FACTOR, ULPS

Json = dict[str, Any]

_TEXT = """\
# Coverage: every model class of Transformers

Written by `benchmarks/coverage.py` from `benchmarks/results/coverage.json`; do not edit.
Measured at {git} with transformers {transformers}, torch {torch}, Python {python} on one core of {cpu}.

Every class is built small from its config (widths divided, two layers where that is possible), with random weights
that keep activations of order one, and run on random inputs. GELUs are counted by what the operators compute,
not by gelu_patch. Then: `patch_model(model, "relu")`, undone, `patch_model(model, "gelu_fused")`, undone. A second
instance of the same class with the same weights runs before, during and after.

{totals}

"ran" means that one guess of inputs ran. A class that runs no GELU on these inputs may run one on others; a GELU
that was not executed was not checked.

## What went wrong

{broken}

## Classes that amplify rounding

Here an exact swap is further than {tolerance:g} from stock. So is the control: stock with the same GELUs computed in
float64 and then off by at most {ulps:g} units in the last place, at random; the largest of {draws} draws. Beyond
{factor:g} times that would be a fault.

{amplifying}

## Folders that executed a GELU

Executions and survivors are summed over the classes of the folder that went through the checks.

{folders}

No GELU was executed in the classes that ran of: {without}.

## Classes that were not checked

{failures}
"""


def write_report(results: Results, root: Path) -> None:
    """Write the summary and the page; ``root`` is the repository."""
    rows = [row for _, row in sorted(results.rows.items())]
    found: Json = {
        "git": git_commit(),
        "environment": fingerprint(),
        "totals": summary.totals(rows),
        "broken": summary.broken(rows),
        "amplifying": summary.amplifying(rows),
        "folders": summary.folders(rows),
        "failures": summary.failures(rows),
    }
    path = root / "benchmarks" / "results" / "coverage.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (root / "docs" / "coverage.md").write_text(page(found), encoding="utf-8")


def page(found: Json) -> str:
    """Return docs/coverage.md."""
    environment = found["environment"]
    executing = {name: each for name, each in found["folders"].items() if each["executed"]}
    without = [name for name, each in found["folders"].items() if each["ran"] and not each["executed"]]
    return _TEXT.format(
        git=found["git"],
        transformers=environment["packages"]["transformers"],
        torch=environment["packages"]["torch"],
        python=environment["python"],
        cpu=environment["cpu"],
        totals=_totals(found["totals"]),
        broken=_lists(found["broken"]) or "Nothing.",
        tolerance=found["totals"]["tolerance"],
        factor=FACTOR,
        ulps=ULPS,
        draws=DRAWS,
        amplifying=_amplifying(found["amplifying"]),
        folders=_folders(executing),
        without=", ".join(without) or "none",
        failures=_lists(found["failures"]) or "None.",
    )


def _totals(total: Json) -> str:
    rows = [
        ("folders with a modeling file: tried / at least one class ran / executed a GELU",
         f"{total['folders']} / {total['folders_ran']} / {total['folders_executed']}"),
        ("classes: tried / built / ran / executed a GELU",
         f"{total['classes']} / {total['classes_built']} / {total['classes_ran']} / {total['classes_executed']}"),
        ("of these went through all checks / passed", f"{total['classes_checked']} / {total['classes_passed']}"),
        ("GELU executions before, after the swap to ReLU", f"{total['executions']}, {total['survivors']}"),
        ("classes with a survivor / with one that is not listed as rejected",
         f"{total['classes_with_survivors']} / {total['classes_with_unlisted_survivors']}"),
        ("classes in which the swap to ReLU changed no output", total["relu_without_effect"]),
        (f"exact swap: largest difference / classes above {total['tolerance']:g} / above what rounding explains",
         f"{total['exact_largest']:.1e} / {total['exact_outside']} / {total['exact_not_close']}"),
        ("classes not bit-equal after undoing", total["not_reverted"]),
        ("classes whose second instance changed", total["bystander_changed"]),
        ("classes in which gelu_patch's own trace counts otherwise than the operators", total["count_disagrees"]),
        ("seconds, all classes", f"{total['seconds']:.0f}"),
    ]  # fmt: skip
    return _table(("what", "number"), rows)


def _amplifying(classes: Json) -> str:
    rows = [(_escaped(name), f"{each['difference']:.1e}", f"{each['rounding']:.1e}") for name, each in classes.items()]
    return _table(("class", "exact swap", "the same GELUs, other last bits"), rows) if rows else "None."


def _folders(folders: Json) -> str:
    rows = [
        (
            name,
            f"{each['classes']} / {each['ran']} / {each['executed']} / {each['passed']}",
            ", ".join(each["kinds"]),
            f"{each['executions']} -> {each['survivors']}",
            "" if each["exact_largest"] is None else f"{each['exact_largest']:.0e}",
        )
        for name, each in folders.items()
    ]
    return _table(("folder", "classes / ran / executed / passed", "GELUs", "executions -> after ReLU", "exact"), rows)


def _lists(groups: dict[str, list[str]]) -> str:
    return "\n".join(f"* {_escaped(reason)} ({len(names)}): {', '.join(names)}" for reason, names in groups.items())


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
