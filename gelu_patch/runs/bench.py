"""Measure a checkpoint, or the model of a training run, against its patched forms, into a run folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gelu_patch.errors import UsageError
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.runs.inspect import load_any
from gelu_patch.runs.progress import Progress, Silent
from gelu_patch.tasks.describe import describe_model
from gelu_patch.tasks.loading import load_config, resolve_checkpoint
from gelu_patch.timing import Benchmark, measure
from gelu_patch.timing.benchmark import check_numbers
from gelu_patch.timing.devices import require_device
from gelu_patch.timing.job import Job


def bench_job(source: str, *, trust_remote_code: bool = False, revision: str | None = None, **settings: object) -> Job:
    """Return the job for a checkpoint directory, a Hub id or the folder of a training run.

    ``settings`` are fields of ``Job``. What can be refused without loading weights is refused here: ModelNotFound,
    UsageError for numbers that cannot be meant, EnvironmentProblem for a device that is not there.
    """
    access = {"trust_remote_code": trust_remote_code, "revision": revision}
    job = Job(load=partial(load_any, source, **access), **settings)  # type: ignore[arg-type]  # the caller's fields
    check_numbers(job)
    if job.device is not None:
        require_device(job.device)
    run = RunFolder(source)
    load_config(resolve_checkpoint(run.model_path if run.has_report else source), **access)  # type: ignore[arg-type]
    return job


def bench_run(
    job: Job, output_dir: str | Path | None = None, *, overwrite: bool = False, progress: Progress | None = None
) -> Benchmark:
    """Measure, and write a run folder when there is an ``output_dir``; also of what there is after Ctrl-C.

    Raises OutputExists before anything is measured, and what measuring raises.
    """
    if output_dir is not None:
        RunFolder(output_dir).check_free(overwrite=overwrite)
    with (progress or Silent()).bar("bench") as update:
        found = measure(
            job, describe=describe_model, on_progress=lambda what, done, planned: update(done, planned, what)
        )
    if output_dir is not None:
        found.save(output_dir, overwrite=overwrite)
    return found


def parse_targets(text: str) -> tuple[str, ...]:
    """Read ``gelu_fused,relu``. Raises UsageError when an entry is empty."""
    targets = tuple(part.strip() for part in text.split(","))
    if not all(targets):
        raise UsageError(f"cannot read the targets {text!r}", why="a name is missing", next_step="--to gelu_fused,relu")
    return targets
