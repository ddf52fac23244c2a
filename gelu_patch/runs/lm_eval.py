"""A task of lm-eval as a run: load, patch, evaluate, write the folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from gelu_patch.errors import UsageError
from gelu_patch.integrations.lm_eval import PREFIX, evaluate_with_lm_eval
from gelu_patch.patching import patch_model
from gelu_patch.reporting.storage.lock import run_lock
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.runs.job import Job
from gelu_patch.runs.world import World
from gelu_patch.tasks.base import tasks
from gelu_patch.timing.arms import STOCK
from gelu_patch.timing.devices import require_device
from gelu_patch.training.launch import check_launch


@dataclass(frozen=True, kw_only=True)
class LmEvalJob(Job):
    """An lm-eval task (``lm_eval:NAME``) for the model in ``source``; see ``evaluate_with_lm_eval``."""

    source: str
    limit: int | None = None
    include_path: str | None = None
    num_fewshot: int | None = None
    seed: int = 0
    device: str | None = None


def lm_eval_run(job: LmEvalJob, output_dir: str | Path | None, *, overwrite: bool = False) -> RunFolder:
    """Run the task and write a run folder. It runs in one process and is not resumed.

    Raises UsageError without an ``output_dir``, OutputExists when it holds another run, and what loading, patching and
    ``evaluate_with_lm_eval`` raise.
    """
    if output_dir is None:
        raise UsageError("this evaluation needs an --output_dir", next_step="--output_dir runs/NAME")
    world = World.from_environment()
    check_launch(asked=1, found=world.count)
    folder = RunFolder(output_dir)
    folder.check_free(overwrite=overwrite)
    device = world.device(job.device)
    require_device(device)
    source = RunFolder(job.source)
    loaded = tasks.get("causal-lm").load(
        source.model_path if source.has_report else job.source,
        seed=job.seed,
        trust_remote_code=job.trust_remote_code,
        revision=job.revision,
    )
    loaded.model.to(device)
    if job.activation != STOCK:
        patch_model(loaded.model, job.activation, job.where, memory=job.memory)
    evaluation = evaluate_with_lm_eval(
        loaded.model,
        loaded.tokenizer,
        job.task.removeprefix(PREFIX),
        batch_size=job.per_device_eval_batch_size,
        num_fewshot=job.num_fewshot,
        limit=job.limit,
        include_path=job.include_path,
        seed=job.seed,
    )
    report = evaluation.report
    report.title, report.tool.command = job.activation, list(sys.argv)
    report.warnings.extend(loaded.notes)
    folder = RunFolder.create(output_dir, overwrite=overwrite)
    with run_lock(folder.path):
        evaluation.write(folder)
    return folder
