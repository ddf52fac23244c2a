"""``report.html``: one file that needs nothing else, for people who decide."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from gelu_patch.errors import MissingExtra
from gelu_patch.reporting import wording
from gelu_patch.reporting.rendering import tables, views
from gelu_patch.reporting.rendering.ablation_tables import ablation_sentences, ablation_tables
from gelu_patch.reporting.rendering.bench_tables import bench_tables, worth_it
from gelu_patch.reporting.rendering.plots.latency import arms_ratio_plot, distribution_plot, over_time_plot, ratio_plot
from gelu_patch.reporting.rendering.plots.memory import memory_plot
from gelu_patch.reporting.rendering.plots.quality import accuracy_plot, difference_plot
from gelu_patch.reporting.rendering.plots.share import share_plot
from gelu_patch.reporting.rendering.plots.training import seeds_plot, training_plot
from gelu_patch.reporting.rendering.printable import printable_model
from gelu_patch.reporting.rendering.training_tables import training_tables
from gelu_patch.reporting.schema import Report
from gelu_patch.stats.seeds import MINIMUM_SEEDS

_TEMPLATES = Path(__file__).parent / "templates"
MAXIMUM_BYTES = 1_000_000
_EMBEDDED_CHARACTERS = 300_000
_TOO_LONG = "too long to repeat here: see report.json"
_MEASURED_ALONE = ("Latency", "Throughput")  # tables of a run of `bench`, which no comparison repeats
_TRAINING = (
    "Training curves: thick for the mean of the seeds, thin for each of them; where they are many, a band from the "
    "lowest to the highest."
)


def html_report(report: Report) -> str:
    """Return the report as one HTML page; the same report gives the same bytes.

    The page loads nothing and runs no script, and its content security policy forbids both. Everything on it comes
    from ``report``. Where it would be longer than ``MAXIMUM_BYTES``, the JSON itself and all but the first changed
    examples are left to report.json. Raises MissingExtra without jinja2 or matplotlib.
    """
    report = printable_model(report)
    content = _content(report)
    page = _render(**content)
    if len(page.encode()) <= MAXIMUM_BYTES:
        return page
    for comparison in content["comparisons"]:
        comparison["flips"] = comparison["flips"].first(views.FLIPS_IN_SIGHT)
    return _render(**{**content, "source": _TOO_LONG})


def _content(report: Report) -> dict[str, Any]:
    """Everything that the templates arrange."""
    names = views.candidate_names(report)
    return dict(
        report=report,
        plots={
            "accuracy": accuracy_plot(report.arms),
            "differences": difference_plot(report.comparisons, names),
            "training": training_plot(report.arms),
            "seeds": seeds_plot(report.arms),
            "ratios": ratio_plot(report.comparisons, names) or arms_ratio_plot(report.arms),
            "times": distribution_plot(report.arms),
            "over_time": over_time_plot(report.arms),
            "memory": memory_plot(report.arms),
            "share": share_plot(report.activation_share),
        },
        overview=tables.overview_table(report.comparisons),
        comparisons=[views.comparison_view(report, comparison) for comparison in report.comparisons],
        worth_it=worth_it(report),
        bench_tables=[table for table in bench_tables(report) if table.caption in _MEASURED_ALONE],
        energy=tables.energy_table(report.arms),
        ablation_tables=ablation_tables(report.ablation) if report.ablation else [],
        ablation_sentences=ablation_sentences(report.ablation) if report.ablation else [],
        training_caption=_TRAINING,
        training_tables=training_tables(report.arms),
        environment_rows=views.environment_rows(report),
        commands=views.commands(report),
        hashes=views.hashes(report),
        flips_in_sight=views.FLIPS_IN_SIGHT,
        minimum_seeds=MINIMUM_SEEDS,
        source=_embedded(report),
    )


def _render(**found: Any) -> str:
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
    environment.filters["drawing"] = Markup  # of plots/canvas.py, which escapes what it is given
    environment.filters["element_text"] = lambda text: Markup(escape(text, quote=False))  # quotes are most of JSON
    return environment.get_template("report.html.j2").render(**found)


def _embedded(report: Report) -> str:
    """Return the report as JSON; without curves and single times, which the plots show, where it would be long."""
    plain = report.model_dump(mode="json", by_alias=True)
    if len(text := _as_text(plain)) <= _EMBEDDED_CHARACTERS:
        return text
    for arm in plain["arms"]:
        for run in (arm["training"] or {}).get("per_seed", []):
            run["curve"] = []
        for entry in arm["latency"]:
            entry.update(values=[], quantiles=[], ratio_over_time=[])
    text = _as_text(plain)
    return text if len(text) <= _EMBEDDED_CHARACTERS else _TOO_LONG


def _as_text(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
