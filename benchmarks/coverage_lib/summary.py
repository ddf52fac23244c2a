"""Totals of the rows: what was tried, what ran, what passed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from .check import TOLERANCE, is_close
from .results import FAILED

Row = dict[str, Any]
Json = dict[str, Any]

# Where a failed class stopped, from the start to the end.
_NOT_RUN = ("not imported", "not built", "not run", "crashed")


def ran(row: Row) -> bool:
    """Tell whether the forward of a class ran."""
    return row["status"] not in _NOT_RUN


def executed(row: Row) -> bool:
    """Tell whether a class ran a GELU, by the independent count."""
    return sum(row.get("before", {}).values()) > 0


def checked(row: Row) -> bool:
    """Tell whether a class went through all checks."""
    return "exact" in row


def totals(rows: list[Row]) -> Json:
    """Return the numbers of the first table."""
    classes = [row for row in rows if row["status"] != "not imported"]
    done = [row for row in rows if checked(row)]
    return {
        "folders": len({row["folder"] for row in rows}),
        "folders_ran": len({row["folder"] for row in rows if ran(row)}),
        "folders_executed": len({row["folder"] for row in rows if executed(row)}),
        "classes": len(classes),
        "classes_built": sum(row["status"] not in ("not built", "crashed") for row in classes),
        "classes_ran": sum(ran(row) for row in classes),
        "classes_executed": sum(executed(row) for row in classes),
        "classes_checked": len(done),
        "classes_passed": sum(bool(row.get("passed")) for row in done),
        "executions": sum(sum(row["before"].values()) for row in done),
        "survivors": sum(row["relu"]["survivors"] for row in done),
        "classes_with_survivors": sum(row["relu"]["survivors"] > 0 for row in done),
        "classes_with_unlisted_survivors": sum(bool(row["relu"]["unlisted"]) for row in done),
        "relu_without_effect": sum(row["relu"]["replaced"] > 0 and not row["relu"]["changed"] for row in done),
        "exact_largest": max((row["exact"]["difference"] for row in done), default=0.0),
        "exact_outside": sum(row["exact"]["difference"] > TOLERANCE for row in done),
        "exact_not_close": sum(not is_close(row["exact"]) for row in done),
        "tolerance": TOLERANCE,
        "not_reverted": sum(not (row["relu"]["reverted"] and row["exact"]["reverted"]) for row in done),
        "bystander_changed": sum(
            not (row["relu"]["bystander"] and row["relu"]["bystander_after"] and row["exact"]["bystander"])
            for row in done
        ),
        "twin_differs": sum(not row["twin_equal"] for row in done),
        "count_disagrees": sum(_seen(row) != sum(row["before"].values()) for row in done),
        "seconds": round(sum(row.get("seconds", 0.0) for row in rows), 1),
        "statuses": dict(Counter(row["status"] for row in rows).most_common()),
    }


def _seen(row: Row) -> int:
    return row["seen"]["sites"] + row["seen"]["uncovered"]


def folders(rows: list[Row]) -> dict[str, Json]:
    """Return one entry for each folder."""
    grouped: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["folder"]].append(row)
    return {folder: _folder(group) for folder, group in sorted(grouped.items())}


def _folder(rows: list[Row]) -> Json:
    done = [row for row in rows if checked(row)]
    kinds = Counter(kind for row in rows for kind in row.get("before", {}))
    return {
        "classes": sum(row["status"] != "not imported" for row in rows),
        "ran": sum(ran(row) for row in rows),
        "executed": sum(executed(row) for row in rows),
        "passed": sum(bool(row.get("passed")) for row in done),
        "kinds": sorted(kinds),
        "executions": sum(sum(row["before"].values()) for row in done),
        "survivors": sum(row["relu"]["survivors"] for row in done),
        "exact_largest": max((row["exact"]["difference"] for row in done), default=None),
    }


def amplifying(rows: Iterable[Row]) -> dict[str, Json]:
    """Return the differences of the classes beyond the tolerance: of the exact swap, and of rounding alone."""
    return {
        f"{row['folder']}/{row['class']}": {
            "difference": row["exact"]["difference"],
            "rounding": row["exact"]["rounding"],
        }
        for row in rows
        if checked(row) and row["exact"]["difference"] > TOLERANCE
    }


def failures(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Return ``folder/class`` of everything that failed before the checks, by status and reason."""
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["status"] in FAILED:
            grouped[f"{row['status']}: {_common(row['reason'])}"].append(f"{row['folder']}/{row['class']}")
    return dict(sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0])))


def _common(reason: str) -> str:
    """A reason without the numbers in which two classes differ, and without folders of the machine."""
    text = re.sub(r"(/[\w.+-]+){2,}/", "", reason)
    return re.sub(r"\d+", "N", text)[:160]


def broken(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Return ``folder/class`` of every class that was checked and did not pass, by what went wrong."""
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        for problem in _problems(row) if checked(row) else ():
            grouped[problem].append(f"{row['folder']}/{row['class']}")
    return dict(grouped)


def _problems(row: Row) -> list[str]:
    relu, exact = row["relu"], row["exact"]
    found = {
        "a GELU runs after the swap to ReLU and is not listed as rejected": bool(relu["unlisted"]),
        "the swap to ReLU changed no output": relu["replaced"] > 0 and not relu["changed"],
        "the outputs of an exact swap are further away than rounding explains": not is_close(exact),
        "reverting did not bring the outputs back bit by bit": not (relu["reverted"] and exact["reverted"]),
        "another instance of the class changed": not (
            relu["bystander"] and relu["bystander_after"] and exact["bystander"]
        ),
    }
    return [words for words, wrong in found.items() if wrong]
