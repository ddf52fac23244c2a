"""`gelu-patch report` as a person types it, on runs that were made up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import metadata_load

from gelu_patch.reporting.comparing.arms import arm_of
from gelu_patch.reporting.rendering.html import html_report
from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.reporting.conftest import full_runs


@pytest.fixture
def saved(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, run in zip(("stock", "fused", "relu"), full_runs()[:3], strict=True):
        folder = RunFolder.create(Path("runs") / name)
        folder.write_predictions(run.predictions)
        folder.write_report(run.report)
    return Path("runs")


def test_a_page_markdown_and_a_card_of_two_runs(cli, saved):
    done = cli("report", saved / "stock", saved / "fused", "--html", "--md", "--model-card", "card.md")
    assert done.code == 0, done.err
    folder = saved / "fused" / "report"
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.md", "report.json"}
    report = RunFolder.open(folder).report
    assert (folder / "report.html").read_text() == html_report(report), "the page is a function of the JSON"
    assert metadata_load(Path("card.md"))["model-index"][0]["results"][0]["metrics"][0]["type"] == "accuracy"
    assert "stock → gelu_fused: SHIP" in done.out


def test_several_candidates_in_one_report(cli, saved):
    done = cli("report", *(saved / name for name in ("stock", "fused", "relu")), "--output_dir", "out")
    assert done.code == 0, done.err
    report = RunFolder.open("out").report
    assert [c.title for c in report.comparisons] == ["stock → gelu_fused", "stock → relu"]
    assert [c.verdict for c in report.comparisons] == ["SHIP", "DO NOT SHIP"]
    assert all(f'<p class="name">{c.verdict}</p>' in Path("out/report.html").read_text() for c in report.comparisons)


def test_only_what_is_asked_for(cli, saved):
    assert cli("report", saved / "stock", saved / "fused", "--md", "--output-dir", "out").code == 0
    assert {path.name for path in Path("out").iterdir()} == {"report.md", "report.json"}
    assert cli("report", saved / "stock", saved / "fused", "--model-card", "README.md").code == 0
    assert not (saved / "fused" / "report").exists()


def test_a_saved_comparison_is_shown_as_it_was_written(cli, saved):
    assert cli("compare", saved / "stock", saved / "relu", "--output_dir", "cmp").code == 1
    before = Path("cmp/report.json").read_bytes()
    page = Path("cmp/report.html").read_bytes()
    Path("cmp/report.html").unlink()
    assert cli("report", "cmp/report.json", "--html").code == 0
    assert Path("cmp/report.json").read_bytes() == before
    assert Path("cmp/report.html").read_bytes() == page
    again = cli("report", saved / "stock", "cmp")
    assert again.code == 2
    assert "a comparison cannot be compared again" in again.err


def test_one_run_alone(cli, saved):
    before = (saved / "relu" / "report.json").read_bytes()
    done = cli("report", saved / "relu", "--html")
    assert done.code == 0, done.err
    assert "there is no verdict" in (saved / "relu" / "report.html").read_text()
    assert (saved / "relu" / "report.json").read_bytes() == before


def test_the_report_of_another_run_is_not_replaced(cli, saved):
    before = (saved / "relu" / "report.json").read_bytes()
    done = cli("report", saved / "stock", saved / "fused", "--output_dir", saved / "relu")
    assert done.code == 2
    assert "choose another --output_dir" in done.err
    assert (saved / "relu" / "report.json").read_bytes() == before
    assert not (saved / "relu" / "report.html").exists()


def test_in_a_ci_job_the_markdown_goes_to_its_summary(cli, saved, monkeypatch, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("# earlier step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert cli("report", saved / "stock", saved / "fused", "--md", "--no-github").code == 0
    assert summary.read_text() == "# earlier step\n"
    assert cli("report", saved / "stock", saved / "fused", "--md").code == 0
    text = summary.read_text()
    assert text.startswith("# earlier step\n# stock → gelu")
    assert text.count("✅ **SHIP") == 1


def test_open_shows_the_page(cli, saved, monkeypatch):
    shown = []
    monkeypatch.setattr("typer.launch", shown.append)
    assert cli("report", saved / "stock", saved / "fused", "--open").code == 0
    assert shown == [(saved / "fused" / "report" / "report.html").resolve().as_uri()]


def test_json_and_what_is_no_run(cli, saved):
    found = json.loads(cli("report", saved / "stock", saved / "fused", "--json").out)
    assert found["comparison"]["verdict"] == "SHIP"
    assert cli("report", saved / "stock", "nowhere").code == 6
    assert cli("report", saved / "stock", saved / "fused", "--margin", "accuracy=1").code == 2


def test_it_imports_no_torch(saved):
    code = (
        "import sys; sys.argv[1:] = ['report', 'runs/stock', 'runs/fused', '--html', '--md', '--model-card', 'c.md']\n"
        "from gelu_patch.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'accelerate', 'evaluate', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_times_of_a_bench_bring_what_the_activations_take(cli, saved):
    base, fused = full_runs()[:2]
    bench = base.report.model_copy(update={"kind": "bench", "run_id": "bench"})
    bench.arms = [arm_of(run, run.report.subject.patch.target) for run in (base, fused)]
    RunFolder.create(saved / "bench").write_report(bench)
    plain = [run.report.model_copy(update={"latency": [], "activation_share": []}) for run in (base, fused)]
    for name, report in zip(("stock", "fused"), plain, strict=True):
        RunFolder(saved / name).write_report(report)
    done = cli("report", saved / "stock", saved / "fused", "--bench", saved / "bench", "--html", "--output_dir", "out")
    assert done.code == 0, done.err
    assert RunFolder.open("out").report.activation_share == base.report.activation_share
    assert "<h2>Worth it?</h2>" in Path("out/report.html").read_text()
    alone = cli("report", saved / "bench", "--output_dir", "alone")
    assert alone.code == 0, alone.err
    assert "<h2>Worth it?</h2>" in Path("alone/report.html").read_text()
    assert "Worth it?" in Path("alone/report.md").read_text()
