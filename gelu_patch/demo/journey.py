"""The journey: census, three trained arms, two bare swaps, measurements, four comparisons, one report."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console

from gelu_patch.demo.arms import attach, measure, swapped_arm, trained_arm, training_job
from gelu_patch.demo.checks import check_gpt2, check_swap
from gelu_patch.demo.data import CHECKPOINT, SENTENCES
from gelu_patch.demo.settings import SAME, Settings
from gelu_patch.errors import Interrupted
from gelu_patch.reporting.comparing.compare import compare_runs, comparison_report
from gelu_patch.reporting.outcome import write_report_files
from gelu_patch.reporting.rendering.console import comparison_view
from gelu_patch.reporting.schema import Check, Report
from gelu_patch.reporting.storage.run_folder import HTML, MARKDOWN, RunFolder
from gelu_patch.runs.progress import Progress
from gelu_patch.runs.train import TrainingJob, load_for_training
from gelu_patch.sites import inspect_model
from gelu_patch.timing.arms import STOCK
from gelu_patch.timing.inputs import text_inputs

TITLE = "MiniLM on Rotten Tomatoes: stock GELU against {}"
NOTES = (
    f"Every comparison is against stock. {SAME} is the same mathematics, every other name another; swapped in means "
    "without training, on the trained stock weights.",
    "Every arm starts from the same weights and head, sees the same batches in the same order with the same "
    "dropout, and is scored once on sentences that no arm was trained on.",
    "The GPT-2 checks use random weights of GPT-2's shape: no GPT-2 checkpoint installs as a package.",
    "Latency and memory are those of the trained stock weights with each activation; neither depends on the "
    "values of the weights.",
)


def run_demo(output_dir: str | Path, *, settings: Settings, console: Console, progress: Progress) -> Report:
    """Run the whole demo into ``output_dir`` and return its report.

    Finished arms of an earlier run with the same settings are reused. Raises DataNotFound when the packages
    with the checkpoint and the sentences are not installed, Interrupted on Ctrl-C.
    """
    output_dir = Path(output_dir)
    try:
        return _journey(output_dir, settings, console, progress)
    except (KeyboardInterrupt, Interrupted) as error:
        finished = sorted(str(path.parent) for path in output_dir.glob("*/report.json"))
        raise Interrupted(
            "the demo was stopped",
            why=f"finished and usable: {', '.join(finished) or 'nothing yet'}",
            next_step="run the same command again: it goes on with what is missing",
        ) from error


def _journey(output_dir: Path, settings: Settings, console: Console, progress: Progress) -> Report:
    started = time.perf_counter()
    jobs = {activation: training_job(activation, settings) for activation in settings.arms}
    console.print(f"checkpoint  {CHECKPOINT.package} ({CHECKPOINT.licence})")
    console.print(f"sentences   {SENTENCES.package} ({SENTENCES.licence})")
    checks = _first_look(jobs[STOCK], settings, console)

    trained = {
        activation: trained_arm(job, output_dir / activation, console, progress) for activation, job in jobs.items()
    }
    stock = trained[STOCK]
    test = jobs[STOCK].validation
    assert test is not None
    swapped = {
        target: swapped_arm(stock, target, test, output_dir / f"{target}-swap", console, progress)
        for target in settings.targets
    }
    measured = measure(stock, settings, progress)
    for arm, run in (*trained.items(), *swapped.items()):
        attach(run, measured, arm)

    report = _compare(trained, swapped).model_copy(
        update={"checks": checks, "duration_s": round(time.perf_counter() - started, 1)}
    )
    folder = RunFolder.create(output_dir, overwrite=True)
    write_report_files(folder, report)
    _print(report, folder, console)
    return report


def _first_look(job: TrainingJob, settings: Settings, console: Console) -> list[Check]:
    """Print the census of the model that will be trained, and check the swap before any training."""
    model = load_for_training(job).model.eval()
    inputs = text_inputs(model, settings.shapes[-1])
    console.print(str(inspect_model(model, inputs)))
    checks = check_swap(model, inputs, "MiniLM before training") + check_gpt2(settings.gpt2_shape)
    for check in checks:
        console.print(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.measured} (bar: {check.bar})")
    return checks


def _compare(trained: dict[str, RunFolder], swapped: dict[str, RunFolder]) -> Report:
    stock, targets = trained[STOCK], list(swapped)
    arms = [(f"{target} swapped in", swapped[target]) for target in targets]
    arms += [(f"{target} retrained", trained[target]) for target in targets]
    comparisons = [compare_runs(stock, run, title=name) for name, run in arms]
    return comparison_report(
        TITLE.format(", ".join(targets)),
        [stock, *(run for _, run in arms)],
        comparisons,
        names=[STOCK, *(name for name, _ in arms)],
        command=sys.argv,
        notes=NOTES,
    )


def _print(report: Report, folder: RunFolder, console: Console) -> None:
    for comparison in report.comparisons:
        console.print(comparison_view(comparison))
    shown = HTML if (folder.path / HTML).is_file() else MARKDOWN
    console.print(f"report: {folder.path / shown}")
    for comparison in report.comparisons:
        console.print(f"{comparison.title}: {comparison.headline}")
