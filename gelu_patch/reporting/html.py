"""``report.html``: one file that needs nothing else, for people who decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gelu_patch.errors import MissingExtra
from gelu_patch.reporting import tables, wording
from gelu_patch.reporting.plots.latency import distribution_plot, ratio_plot
from gelu_patch.reporting.plots.memory import memory_plot
from gelu_patch.reporting.plots.quality import accuracy_plot, difference_plot
from gelu_patch.reporting.plots.training import training_plot
from gelu_patch.reporting.schema import Comparison, Report, VerdictName
from gelu_patch.stats.seeds import MINIMUM_SEEDS

_TEMPLATES = Path(__file__).parent / "templates"
_EMBEDDED_CHARACTERS = 200_000

TONES: dict[VerdictName, str] = {
    "SHIP": "good",
    "NO GAIN": "calm",
    "DO NOT SHIP": "bad",
    "INCONCLUSIVE": "open",
    "PRELIMINARY": "open",
    "PARTIAL": "open",
    "NOT COMPARABLE": "bad",
    "INVALID": "bad",
}


def html_report(report: Report) -> str:
    """Return the report as one HTML page; the same report gives the same bytes.

    The page loads nothing and runs no script, and its content security policy forbids both. Raises MissingExtra
    without jinja2 or matplotlib.
    """
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtra.of("jinja2", "report", "the HTML report") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = wording.words
    names = _candidates(report)
    plots = {
        "accuracy": accuracy_plot(report.arms),
        "differences": difference_plot(report.comparisons, names),
        "training": training_plot(report.arms),
        "ratios": ratio_plot(report.comparisons, names),
        "times": distribution_plot(report.arms),
        "memory": memory_plot(report.arms),
    }
    page = environment.get_template("report.html.j2").render(
        report=report,
        plots={name: plot and {"svg": Markup(plot.svg), "table": plot.table} for name, plot in plots.items()},
        comparisons=[_comparison_view(report, comparison) for comparison in report.comparisons],
        environment_rows=_environment_rows(report),
        commands=[(arm.name, " ".join(arm.tool.command)) for arm in report.arms if arm.tool.command],
        minimum_seeds=MINIMUM_SEEDS,
        source=_embedded(report),
    )
    return str(page)


def _candidates(report: Report) -> list[str]:
    """Return the name of each comparison's candidate, or the comparison's title when its arm is not here."""
    names = {arm.run: arm.name for arm in report.arms}
    return [names.get(comparison.candidate_run, comparison.title) for comparison in report.comparisons]


def _comparison_view(report: Report, comparison: Comparison) -> dict[str, Any]:
    name = comparison.verdict
    return {
        "title": comparison.title,
        "verdict": name,
        "tone": TONES[name],
        "why": comparison.headline.removeprefix(f"{name}: "),
        "reasons": comparison.reasons,
        "differences": comparison.differences,
        "warnings": [warning for result in comparison.results for warning in result.warnings],
        "policy": comparison.policy,
        "covers": covered(report, comparison),
        "not_covered": not_covered(comparison),
        "quality": tables.quality_table(comparison),
        "latency": tables.latency_table(comparison),
        "memory": tables.memory_table(comparison),
        "flips": tables.flips_table(comparison),
        "flips_sentence": tables.flips_sentence(comparison),
        "fidelity": tables.fidelity_rows(comparison.fidelity) if comparison.fidelity else [],
    }


def covered(report: Report, comparison: Comparison) -> list[str]:
    """Return what the verdict was measured on."""
    subjects = {arm.run: arm.subject for arm in report.arms}
    subject = subjects.get(comparison.candidate_run)
    scope = [subject.model, subject.dtype] if subject else []
    if report.data:
        source = " ".join(filter(None, [report.data.name, report.data.split]))
        scope.append(f"{report.data.n:,} examples" + (f" of {source}" if source else ""))
    environment = report.environment
    scope += environment.gpu or [environment.cpu]
    if "torch" in environment.packages:
        scope.append(f"torch {environment.packages['torch']}")
    return [part for part in scope if part]


def not_covered(comparison: Comparison) -> list[str]:
    """Return what nobody may conclude from the verdict."""
    gaps = ["other data", "other checkpoints, devices and dtypes"]
    gaps += [] if comparison.latency else ["speed (not compared)"]
    gaps += [] if comparison.memory else ["memory (not compared)"]
    return gaps


def _environment_rows(report: Report) -> list[tuple[str, str]]:
    found = report.environment
    rows = [("python", found.python), *found.packages.items(), ("system", found.os), ("processor", found.cpu)]
    rows += [("threads", str(found.threads or wording.MISSING)), ("GPU", ", ".join(found.gpu) or "none")]
    rows += [("offline", {True: "yes", False: "no", None: wording.MISSING}[found.offline])]
    return [(name, value) for name, value in [*rows, *found.env_vars.items()] if value]


def _embedded(report: Report) -> str:
    """Return the report as JSON without curves and single times, which the plots show."""
    plain = report.model_dump(mode="json", by_alias=True)
    for arm in plain["arms"]:
        for run in (arm["training"] or {}).get("per_seed", []):
            run["curve"] = []
        for entry in arm["latency"]:
            entry["values"] = []
    text = json.dumps(plain, indent=1, ensure_ascii=False)
    return text if len(text) <= _EMBEDDED_CHARACTERS else "too long to repeat here: see report.json"
