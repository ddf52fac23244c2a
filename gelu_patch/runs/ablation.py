"""Activations x seeds: every run a folder as ``train`` and ``eval`` make it, one table and one report over all."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from gelu_patch.errors import Interrupted, OutputExists
from gelu_patch.patching import patch_model
from gelu_patch.reporting.policy.policy_file import fix_policy
from gelu_patch.reporting.storage.files import make_directory, writable, write_text
from gelu_patch.reporting.storage.lock import run_lock
from gelu_patch.reporting.storage.run_folder import MODEL, POLICY, RunFolder
from gelu_patch.runs.ablation_file import AblationFile
from gelu_patch.runs.ablation_plan import AblationPlan, PlannedRun, has_diverged
from gelu_patch.runs.ablation_report import write_ablation_report
from gelu_patch.runs.diary import Diary
from gelu_patch.runs.progress import Progress, Silent
from gelu_patch.runs.seeds import evaluate_seed, join_seeds, train_seed
from gelu_patch.runs.training_job import load_for_training
from gelu_patch.timing.arms import STOCK
from gelu_patch.training.accelerator import accelerator_for
from gelu_patch.training.processes import Processes
from gelu_patch.training.saving import CHECKPOINTS
from gelu_patch.training.settings import Checkpointing

ABLATION = "ablation.yaml"


def ablate(
    source: AblationFile | Mapping[str, Any] | str | PathLike[str],
    output_dir: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunFolder:
    """Train every activation of an ablation with every seed, score them, and write one report.

    ``source`` is the file, or a mapping of what it would say. Runs are in ``output_dir/ACTIVATION/seed-N``; with
    ``resume`` those that are finished stay as they are and an interrupted one goes on, with ``overwrite`` all are
    made anew. When all are finished only the report is written. A run that diverges is a result: the others go on.

    Raises OutputExists when ``output_dir`` holds runs and neither is given, or runs of another job (naming what
    differs), Interrupted on Ctrl-C, and what reading, loading, patching and training raise.
    """
    plan = AblationPlan.of(source, output_dir)
    with accelerator_for(next(iter(plan.jobs.values())).recipe):
        return _Ablating(plan, Processes.here(), progress or Silent()).go(resume=resume, overwrite=overwrite)


@dataclass
class _Ablating:
    plan: AblationPlan
    processes: Processes
    progress: Progress

    def go(self, *, resume: bool, overwrite: bool) -> RunFolder:
        """Do all of it; see ``ablate``."""
        plan, first_only = self.plan, self.processes.first_only
        runs = first_only(lambda: plan.runs(overwrite=overwrite))
        if not (resume or overwrite):
            _refuse_begun(plan, runs)
        first_only(lambda: _refuse_other_processes(runs, self.processes.count))
        todo = [run for run in runs if run.state != "finished"]
        if todo:
            _check_arms(plan)
        with ExitStack() as stack:
            first_only(lambda: self._begin(stack, overwrite))
            try:
                for position, run in enumerate(todo, start=len(runs) - len(todo) + 1):
                    self._do(run, overwrite)
                    first_only(lambda run=run, position=position: self._note(run, position, len(runs)))  # type: ignore[misc]
                first_only(lambda: self._finish(runs))
            except (KeyboardInterrupt, Interrupted) as error:
                raise _stopped(plan) from error
        return RunFolder(plan.folder.path)

    def _begin(self, stack: ExitStack, overwrite: bool) -> None:
        folder, baseline = self.plan.folder.path, self.plan.arm_folder(self.plan.spec.baseline)
        make_directory(baseline)
        stack.enter_context(run_lock(folder))
        write_text(folder / ABLATION, yaml.safe_dump(self.plan.spec.model_dump(mode="json"), sort_keys=False))
        if overwrite:
            (baseline / POLICY).unlink(missing_ok=True)
        if self.plan.policy:
            fix_policy(baseline, self.plan.policy, "train")
        Diary(folder).write("begins or goes on")

    def _do(self, run: PlannedRun, overwrite: bool) -> None:
        """Train one activation with one seed, and score it."""
        plan = self.plan
        job, arm = plan.jobs[run.activation], plan.arm_folder(run.activation)
        if run.state != "trained":
            checkpointing = plan.spec.settings(Checkpointing)
            train_seed(job, run.seed, arm, overwrite=overwrite, progress=self.progress, checkpointing=checkpointing)
        if plan.test is not None and not has_diverged(RunFolder(run.folder)):
            evaluate_seed(plan.test, run.folder, progress=self.progress)
        self.processes.first_only(lambda: self._tidy(run))
        gc.collect()  # a model is in cycles; the next one needs its memory

    def _tidy(self, run: PlannedRun) -> None:
        """Remove what no later step needs: the checkpoints of a run that is finished, and models nobody wants."""
        if has_diverged(RunFolder(run.folder)):
            return
        needless = [CHECKPOINTS] if self.plan.spec.keep_models else [CHECKPOINTS, MODEL]
        for name in needless:
            with writable(run.folder / name):
                shutil.rmtree(run.folder / name, ignore_errors=True)

    def _note(self, run: PlannedRun, position: int, total: int) -> None:
        found = RunFolder(run.folder).report
        said = [f"{each.metric} {each.value:.4f}" for each in found.quality[:1]]
        for each in found.training.per_seed if found.training else []:
            said += [] if each.final_loss is None else [f"final loss {each.final_loss:.3f}"]
            said += [f"NaN steps {each.nan_steps}"] if each.nan_steps else []
            said += ["DIVERGED"] if each.diverged else []
        line = f"[{position}/{total}] {run.activation}, seed {run.seed}: {', '.join(said)}"
        Diary(self.plan.folder.path).write(line)
        self.progress.note(line)

    def _finish(self, runs: Sequence[PlannedRun]) -> None:
        for activation in self.plan.jobs:
            folders = [run.folder for run in runs if run.activation == activation]
            join_seeds(RunFolder(self.plan.arm_folder(activation)), folders)
        write_ablation_report(self.plan)
        Diary(self.plan.folder.path).write("finished")


def _refuse_begun(plan: AblationPlan, runs: Sequence[PlannedRun]) -> None:
    begun = sum(run.state != "to do" for run in runs)
    if begun:
        finished = sum(run.state == "finished" for run in runs)
        raise OutputExists(
            f"{plan.folder.path} holds {begun} of the {len(runs)} runs of this ablation",
            why=f"{finished} of them are finished, perhaps by another version or on another machine",
            next_step="add --resume to keep them and go on, or --overwrite_output_dir to make all runs anew",
        )


def _refuse_other_processes(runs: Sequence[PlannedRun], count: int) -> None:
    """Raise OutputExists when some runs were trained by another number of processes than is to train the others."""
    done = [run for run in runs if run.state in ("finished", "trained")]
    if len(done) == len(runs):
        return
    for run in done:
        training = RunFolder(run.folder).report.training
        if training is not None and training.processes != count:
            raise OutputExists(
                f"{run.folder} was trained by another number of processes",
                why=f"{training.processes} there and {count} here, and so the batch of a step has another size",
                next_step=f"start {training.processes} processes, or choose another --output_dir",
            )


def _check_arms(plan: AblationPlan) -> None:
    """Raise now what an arm would raise after hours of training the others."""
    first = next(iter(plan.jobs.values()))
    loaded = load_for_training(first)
    if plan.test is not None and loaded.labels is not None:
        loaded.labels.encode(plan.test.data)
    for activation, job in plan.jobs.items():
        if activation != STOCK:
            with patch_model(loaded.model, activation, job.where, memory=job.memory):
                pass


def _stopped(plan: AblationPlan) -> Interrupted:
    runs = plan.runs()
    finished = sum(run.state == "finished" for run in runs)
    return Interrupted(
        f"the ablation in {plan.folder.path} was stopped: {finished} of {len(runs)} runs are finished",
        why="the others are as far as their last checkpoint",
        next_step="the same command with --resume goes on from there",
    )
