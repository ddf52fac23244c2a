"""Making the demo's arms, or reusing those that an earlier run finished."""

from __future__ import annotations

from pathlib import Path

import yaml
from rich.console import Console

from gelu_patch.demo.data import CHECKPOINT, load_sentences
from gelu_patch.demo.settings import Settings
from gelu_patch.environment import best_device
from gelu_patch.reporting.comparing.performance import with_measured
from gelu_patch.reporting.schema import Report
from gelu_patch.reporting.storage.run_folder import CONFIG, RunFolder
from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
from gelu_patch.runs.inspect import load_any
from gelu_patch.runs.progress import Progress
from gelu_patch.runs.train import TrainingJob, train_run
from gelu_patch.tasks.data import TextExamples
from gelu_patch.timing import Benchmark, benchmark
from gelu_patch.timing.arms import STOCK


def training_job(activation: str, settings: Settings) -> TrainingJob:
    """Return the job of one arm; the held-out sentences are scored once, at the end."""
    train, test = load_sentences(settings.n_train, settings.n_test)
    return TrainingJob(
        model_name_or_path=str(CHECKPOINT.locate().parent),
        model_label=f"all-MiniLM-L6-v2 ({CHECKPOINT.package})",
        train=train,
        validation=test,
        validate_each_epoch=False,
        recipe=settings.recipe,
        activation=activation,
        max_length=settings.max_length,
    )


def trained_arm(job: TrainingJob, folder: Path, console: Console, progress: Progress) -> RunFolder:
    """Train an arm, or return it when it is finished and its job is the same."""
    run = RunFolder(folder)
    if run.has_report and _recorded(run) == job.describe():
        console.print(f"{folder}: finished before, reused")
        return run
    return train_run(job, folder, overwrite=True, progress=progress)


def _recorded(run: RunFolder) -> object:
    try:
        return yaml.safe_load((run.path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None


def swapped_arm(
    stock: RunFolder, activation: str, test: TextExamples, folder: Path, console: Console, progress: Progress
) -> RunFolder:
    """Evaluate the trained stock weights with another activation, or return that when it is there."""
    run = RunFolder(folder)
    if run.has_report and _same_question(run.report, stock.report):
        console.print(f"{folder}: finished before, reused")
        return run
    job = EvaluationJob(source=str(stock.path), data=test, activation=activation)
    return evaluate_run(job, folder, overwrite=True, progress=progress)


_QUESTION = ("ids_sha256", "inputs_sha256", "tokenizer_sha256", "labels", "n")


def _same_question(report: Report, stock: Report) -> bool:
    return bool(
        report.subject
        and stock.subject
        and report.subject.weights_sha256 == stock.subject.weights_sha256
        and report.data
        and stock.data
        and all(getattr(report.data, field) == getattr(stock.data, field) for field in _QUESTION)
    )


def measure(stock: RunFolder, settings: Settings, progress: Progress) -> Benchmark:
    """Time the trained stock model against each swap, and count what each keeps for backward."""
    model = load_any(str(stock.path)).to(best_device()).eval()
    with progress.bar("latency") as update:
        return benchmark(
            model,
            settings.targets,
            shapes=settings.shapes,
            n_pairs=settings.n_pairs,
            max_pairs=settings.max_pairs,
            max_seconds=settings.max_seconds,
            processes=settings.processes,
            on_progress=lambda what, done, total: update(done, total, what),
        )


def attach(run: RunFolder, measured: Benchmark, arm: str) -> None:
    """Put what was measured for ``arm`` into the run's report; what a swap could gain at most belongs to stock."""
    memory = with_measured(run.report.memory, measured.memory[arm])
    found = {"latency": measured.latency[arm], "memory": memory, "energy": measured.energy[arm]}
    if arm == STOCK:
        found["activation_share"] = measured.activation_share
    run.write_report(run.report.model_copy(update=found))
