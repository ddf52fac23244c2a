"""One arm with several seeds: a run folder for each, and one report over all of them.

A seed varies the head's initial weights, the data order and dropout together.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import t

from gelu_patch.errors import GeluPatchError, InvalidMeasurement, OutputExists, UsageError
from gelu_patch.reporting.comparing.arms import seed_folders
from gelu_patch.reporting.schema import Quality, Report
from gelu_patch.reporting.storage.run_folder import CONFIG, RunFolder, now
from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
from gelu_patch.runs.progress import Progress, Silent
from gelu_patch.runs.train import train_run
from gelu_patch.runs.training_job import TrainingJob
from gelu_patch.training.accelerator import accelerator_for
from gelu_patch.training.identity import REPORTING_ONLY, differences, name_some
from gelu_patch.training.processes import Processes
from gelu_patch.training.saving import CHECKPOINTS

# What a later version of a library changes is no reason to train a finished seed again.
_NOT_COMPARED = ("versions", "per_device_eval_batch_size")


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of ``0,1,2``. Raises UsageError for anything else, and for a seed that is there twice."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(
            f"--seeds {text} cannot be meant",
            why="it takes different numbers from 0 on, with commas between",
            next_step="--seeds 0,1,2,3,4",
        )
    return seeds


def train_seeds(
    job: TrainingJob,
    seeds: Sequence[int],
    output_dir: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> RunFolder:
    """Train ``job`` once for each seed, in ``output_dir/seed-N``, and write one report over all seeds.

    Seeds that are finished are not trained again, and an interrupted one goes on from its last checkpoint.
    ``options`` are those of ``train_run``. A seed that diverged is in the report; the others are trained all the same.
    Raises OutputExists when a finished seed is of another job, and what ``train_run`` raises.
    """
    progress, top = progress or Silent(), RunFolder(output_dir)
    with accelerator_for(job.recipe):
        processes = Processes.here()
        processes.first_only(lambda: top.check_free(overwrite=overwrite))
        folders = [train_seed(job, seed, top.path, overwrite=overwrite, progress=progress, **options) for seed in seeds]
        processes.first_only(lambda: join_seeds(top, folders))
    return top


def seed_folder(arm: Path, seed: int) -> Path:
    """Return where the run of one seed is, in the folder of its arm."""
    return arm / f"seed-{seed}"


def train_seed(
    job: TrainingJob, seed: int, arm: Path, *, overwrite: bool = False, progress: Progress, **options: Any
) -> Path:
    """Train ``job`` with one seed, unless that is finished, and return its folder. It may have diverged."""
    one, folder = job.with_seed(seed), RunFolder(seed_folder(arm, seed))
    if not overwrite and Processes.here().first_only(lambda: is_finished(folder, one)):
        progress.note(f"seed {seed} is finished already")
        return folder.path
    try:
        train_run(one, folder.path, overwrite=overwrite, progress=progress, **options)
    except InvalidMeasurement as error:
        progress.note(f"seed {seed}: {error.what}")
    return folder.path


def evaluate_seeds(
    job: EvaluationJob, output_dir: str | Path | None, *, overwrite: bool = False, progress: Progress | None = None
) -> RunFolder:
    """Evaluate every seed of the run ``job.source``; see ``evaluate_run``."""
    top = RunFolder(job.source if output_dir is None else output_dir)
    folders = []
    for source in seed_folders(RunFolder.open(job.source)):
        target = None if output_dir is None else top.path / source.name
        folders.append(evaluate_seed(job, source, target, overwrite=overwrite, progress=progress))
    join_seeds(top, folders)
    return top


def evaluate_seed(
    job: EvaluationJob,
    source: Path,
    target: Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Evaluate the run of one seed and return the folder with the answers; see ``evaluate_run``."""
    try:
        return evaluate_run(replace(job, source=str(source)), target, overwrite=overwrite, progress=progress).path
    except InvalidMeasurement:
        if not any(run.diverged for run in _training_of(RunFolder.open(source))):
            raise
        return source  # a diverged seed answers nothing, and stays in the report


def join_seeds(top: RunFolder, folders: Sequence[Path]) -> None:
    """Write the report of an arm from the reports of its seeds."""
    reports = [RunFolder.open(folder).report for folder in folders]
    first = reports[0]
    runs = [run for report in reports if report.training for run in report.training.per_seed]
    training = first.training and first.training.model_copy(update={"per_seed": runs})
    protocol = first.protocol and first.protocol.model_copy(update={"seed": None, "seeds": [run.seed for run in runs]})
    changes = {
        "run_id": uuid.uuid4().hex[:12],
        "created": now(),
        "duration_s": sum(report.duration_s or 0.0 for report in reports),
        "training": training,
        "protocol": protocol,
        "quality": [_over_seeds(name, reports) for name in _metrics(reports)],
        "files": {folder.name: f"{folder.name}/report.json" for folder in folders},
        "warnings": list(dict.fromkeys(line for report in reports for line in report.warnings)),
    }
    top.write_report(first.model_copy(update=changes))


def _metrics(reports: Sequence[Report]) -> list[str]:
    return list(dict.fromkeys(each.metric for report in reports for each in report.quality))


def _over_seeds(metric: str, reports: Sequence[Report]) -> Quality:
    """The mean of one metric over the seeds that have it, with Student's 95 % interval."""
    found = [each for report in reports for each in report.quality if each.metric == metric]
    values = np.array([each.value for each in found])
    interval = None
    if len(values) > 1:
        half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        interval = (float(values.mean()) - half, float(values.mean()) + half)
    return found[0].model_copy(
        update={
            "value": float(values.mean()),
            "ci": interval,
            "ci_method": f"t over {len(values)} seeds" if interval else None,
            "n": len(values),
        }
    )


def _training_of(run: RunFolder) -> Sequence[Any]:
    return run.report.training.per_seed if run.report.training else []


def is_finished(folder: RunFolder, job: TrainingJob) -> bool:
    """Whether this very job has been trained in ``folder``.

    Raises OutputExists, naming what differs, when a run there, finished or not, is of another job.
    """
    if not folder.has_report and not (folder.path / CHECKPOINTS).is_dir():
        return False
    here = yaml.safe_load(yaml.safe_dump(job.describe()))
    try:
        there = yaml.safe_load((folder.path / CONFIG).read_text(encoding="utf-8"))
        different = differences(_compared(there), _compared(here))
    except (OSError, AttributeError, KeyError, yaml.YAMLError) as error:
        raise _other_job(folder, f"its {CONFIG} cannot be read") from error
    if different:
        raise _other_job(folder, name_some(different))
    return folder.has_report


def _compared(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the weights; the target loss only decides what is said about them."""
    kept = {name: value for name, value in description.items() if name not in _NOT_COMPARED}
    return kept | {"recipe": {k: v for k, v in description["recipe"].items() if k not in REPORTING_ONLY}}


def _other_job(folder: RunFolder, why: str) -> GeluPatchError:
    return OutputExists(
        f"{folder.path} holds a run of another job",
        why=why,
        next_step="choose another --output_dir, or add --overwrite_output_dir to train all seeds anew",
    )
