"""What is drawn is what was measured: sides, places and colours, read from the drawing itself."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from gelu_patch.reporting.rendering.plots import canvas, fidelity, heat, latency, memory, quality, share, training
from gelu_patch.reporting.schema import Report
from tests.reporting import made_up

pytest.importorskip("matplotlib")


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a plot function and return the panels that it painted."""
    from matplotlib.figure import Figure

    def paint_of(plot: Any, *arguments: Any) -> list[Any]:
        figures = []
        real = Figure.savefig
        monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), real(self, *a, **k)))
        assert plot(*arguments) is not None
        return list(figures[-1].axes)

    return paint_of


def test_in_a_notebook_a_plot_shows_itself(full_report: Report) -> None:
    plot = training.training_plot(full_report.arms)
    assert plot is not None
    root = ElementTree.fromstring(plot._repr_svg_())  # a whole document: names of other namespaces would fail
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert float(root.attrib["width"]) > 100
    assert "var(" in plot.svg
    assert "var(" not in plot._repr_svg_()
    assert len(repr(plot)) < 120


def _vertical(panel: Any, colour: str) -> list[float]:
    lines = [line for line in panel.lines if line.get_color() == canvas.COLOURS[colour]]
    return [float(line.get_xdata()[0]) for line in lines if list(line.get_ydata()) == [0, 1]]


def test_the_margin_stands_on_the_side_of_worse(full_report: Report, axes: Any) -> None:
    names = ["a", "b", "c"]
    panels = axes(quality.difference_plot, full_report.comparisons, names)
    accuracy, nll = panels[:2]
    assert _vertical(accuracy, "bad") == pytest.approx([-1.0]), "percentage points, less accuracy is worse"
    assert _vertical(nll, "bad") == pytest.approx([0.005]), "more loss is worse"
    assert _vertical(accuracy, "muted") == _vertical(nll, "muted") == [0]
    (ratios,) = axes(latency.ratio_plot, full_report.comparisons, names)
    assert _vertical(ratios, "bad") == pytest.approx([1.02])


def test_a_result_beyond_the_margin_is_drawn_beyond_it(full_report: Report, axes: Any) -> None:
    panel = axes(quality.difference_plot, full_report.comparisons, ["a", "b", "c"])[0]
    dots = {line.get_ydata()[0]: line for line in panel.lines if line.get_marker() == "o"}
    result = full_report.comparisons[1].results[0]
    assert dots[1].get_xdata()[0] == pytest.approx(100 * result.diff)
    assert result.diff < result.margin
    assert dots[1].get_color() == canvas.COLOURS["bad"]
    assert dots[0].get_color() == canvas.COLOURS["good"]


def test_the_histogram_has_the_noise_behind_and_zeros_beside(axes: Any) -> None:
    found = made_up.fidelity(0.3)
    (panel,) = axes(fidelity.logits_plot, found)
    bars = [(patch.get_x() + patch.get_width() / 2, patch.get_height()) for patch in panel.patches]
    assert sum(height for _, height in bars) == 4000, "2,000 examples of each arm"
    zeros = [height for x, height in bars if x < min(patch.get_x() for patch in panel.patches) + 0.5 and height == 100]
    assert zeros == [100]
    assert [text.get_text() for text in panel.figure.legends[0].get_texts()] == [
        "numeric noise (base against itself)",
        "candidate",
    ]


def test_drift_grows_with_depth_and_its_ticks_are_no_tex(axes: Any) -> None:
    plot = fidelity.drift_plot(made_up.fidelity(0.3))
    assert plot is not None
    assert "mathdefault" not in plot.svg
    assert len(plot.table.rows) == 7
    (panel,) = axes(fidelity.drift_plot, made_up.fidelity(0.3))
    noise, candidate = panel.lines
    assert all(a < b for a, b in zip(noise.get_ydata(), candidate.get_ydata(), strict=True))


def test_times_have_base_candidate_and_control(full_report: Report, axes: Any) -> None:
    panel = axes(latency.distribution_plot, full_report.arms)[0]
    labels = [line.get_label() for line in panel.lines]
    assert set(labels) == {"stock", "gelu_fused", "relu", latency.CONTROL}
    assert all(list(line.get_ydata()[[0, -1]]) == [0, 1] for line in panel.lines)
    over_time = axes(latency.over_time_plot, full_report.arms)[0]
    assert {line.get_label() for line in over_time.lines} >= {"gelu_fused", "relu", latency.CONTROL}


def test_a_map_needs_two_by_two_shapes(full_report: Report) -> None:
    plot = heat.heat_plot(full_report.comparisons[0])
    assert plot is not None
    assert plot.table.rows[1] == ("batch 8", "0.960 FASTER", "0.950 FASTER")
    few = full_report.comparisons[0].model_copy(update={"latency": full_report.comparisons[0].latency[:2]})
    assert heat.heat_plot(few) is None


def test_memory_is_stacked_in_its_parts(full_report: Report, axes: Any) -> None:
    (panel,) = axes(memory.memory_plot, full_report.arms)
    stock = [bar for bar in panel.patches if abs(bar.get_y() + bar.get_height() / 2) < 0.01]
    assert [round(bar.get_width()) for bar in stock] == [90, 64, 30]
    assert [round(bar.get_x()) for bar in stock] == [0, 90, 154]


def test_every_seed_and_the_mean(full_report: Report, axes: Any) -> None:
    loss = axes(training.training_plot, full_report.arms)[0]
    thin = [line for line in loss.lines if line.get_linewidth() < 1]
    assert len(thin) == 6
    assert len(loss.lines) - len(thin) == 2
    plot = training.seeds_plot(full_report.arms)
    assert plot is not None
    assert plot.table.header == ("", "stock", "relu retrained")
    assert len(plot.table.rows) == 3


def test_what_was_not_measured_is_not_drawn() -> None:
    assert fidelity.logits_plot(made_up.fidelity(1.0).model_copy(update={"dlogit_histogram": None})) is None
    assert share.share_plot([]) is latency.ratio_plot([], []) is memory.memory_plot([]) is None
    assert training.seeds_plot([]) is latency.distribution_plot([]) is latency.over_time_plot([]) is None


def test_ids_of_two_drawings_do_not_meet(full_report: Report) -> None:
    plots = [latency.distribution_plot(full_report.arms), latency.over_time_plot(full_report.arms)]
    ids = [set(re.findall(r'\bid="([^"]+)"', plot.svg)) for plot in plots if plot]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_many_seeds_are_a_band_around_their_mean(full_report: Report, axes: Any) -> None:
    arms = [arm.model_copy(update={"training": made_up.training(5)}) for arm in full_report.arms[:2]]
    loss = axes(training.training_plot, arms)[0]
    assert (len(loss.lines), len(loss.collections)) == (2, 2)
    for line, band in zip(loss.lines, loss.collections, strict=True):
        low, high = band.get_datalim(loss.transData).intervaly
        assert low < min(line.get_ydata())
        assert high > max(line.get_ydata())
