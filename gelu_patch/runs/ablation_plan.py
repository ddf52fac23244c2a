"""An ablation before it is run: which runs it consists of, where they are, and how far each of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from gelu_patch.errors import DataError, InvalidMeasurement, OutputExists, UsageError
from gelu_patch.reporting.policy.policy_file import read_policy
from gelu_patch.reporting.rendering.tables import Table
from gelu_patch.reporting.schema import Policy
from gelu_patch.reporting.storage.run_folder import CONFIG, RunFolder
from gelu_patch.runs.ablation_file import AblationFile, read_ablation
from gelu_patch.runs.evaluate import EvaluationJob, is_evaluated
from gelu_patch.runs.options import ArmOptions
from gelu_patch.runs.seeds import is_finished, seed_folder
from gelu_patch.runs.training_job import TrainingJob
from gelu_patch.tasks import read_examples, tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.settings import Lora

State = Literal["finished", "trained", "interrupted", "to do"]


@dataclass(frozen=True)
class PlannedRun:
    """One activation with one seed: where it is run, and how far it is."""

    activation: str
    seed: int
    folder: Path
    state: State


@dataclass(frozen=True)
class AblationPlan:
    """What an ablation will do. ``jobs`` are by activation, the baseline first; ``test`` scores them at the end."""

    spec: AblationFile
    folder: RunFolder
    jobs: Mapping[str, TrainingJob]
    test: EvaluationJob | None
    policy: Policy | None

    @classmethod
    def of(
        cls, source: AblationFile | Mapping[str, Any] | str | PathLike[str], output_dir: str | Path | None = None
    ) -> AblationPlan:
        """Read the file and its data. Raises UsageError, DataError and DataNotFound for what cannot be used."""
        spec = read_ablation(source)
        output_dir = output_dir or spec.output_dir
        if output_dir is None:
            raise UsageError(
                "the ablation has no folder", next_step="name an output_dir in the file, or --output_dir DIR"
            )
        train, validation, test = (
            _read(spec, each) for each in (spec.train_file, spec.validation_file, spec.test_file)
        )
        shared = {name: getattr(spec, name) for name in ArmOptions.model_fields}
        first = TrainingJob(
            **shared,
            model_name_or_path=spec.model_name_or_path,
            train=train,
            validation=validation,
            recipe=spec.settings(Recipe),
            lora=spec.settings(Lora),
            max_length=spec.max_length or tasks.get(spec.task).default_max_length,
            ignore_mismatched_sizes=spec.ignore_mismatched_sizes,
            model_label=spec.model_label,
        )
        scored = {**shared, "where": None, "source": "", "data": test, "noise_examples": 0}
        return cls(
            spec=spec,
            folder=RunFolder(output_dir),
            jobs={name: first.with_activation(name) for name in spec.arms},
            test=EvaluationJob(**scored) if test else None,
            policy=read_policy(spec.policy) if spec.policy else None,
        )

    def arm_folder(self, activation: str) -> Path:
        """Return where the runs of an activation are."""
        return self.folder.path / activation

    def runs(self, *, overwrite: bool = False) -> list[PlannedRun]:
        """Return all runs, in their order: every activation with the first seed, then with the second, and so on.

        With ``overwrite`` nothing counts that is there. Raises OutputExists, naming what differs, when the folder
        holds something else.
        """
        self._refuse_other_reports()
        return [
            PlannedRun(name, seed, folder, "to do" if overwrite else self._state(folder, job.with_seed(seed)))
            for seed in self.spec.seeds
            for name, job in self.jobs.items()
            for folder in (seed_folder(self.arm_folder(name), seed),)
        ]

    def table(self, runs: Sequence[PlannedRun]) -> Table:
        """Return the plan, a row per activation and a column per seed."""
        states: dict[tuple[str, int], str] = {(run.activation, run.seed): run.state for run in runs}
        rows = [
            (
                name + (" (baseline)" if name == self.spec.baseline else ""),
                *(states[name, seed] for seed in self.spec.seeds),
            )
            for name in self.jobs
        ]
        return Table("Plan", ("activation", *(f"seed {seed}" for seed in self.spec.seeds)), rows)

    def _state(self, folder: Path, job: TrainingJob) -> State:
        run = RunFolder(folder)
        if not is_finished(run, job):
            return "interrupted" if (folder / CONFIG).is_file() else "to do"
        if self.test is None or has_diverged(run) or is_evaluated(run, self.test):
            return "finished"
        return "trained"

    def _refuse_other_reports(self) -> None:
        if not self.folder.has_report:
            return
        try:
            kind = self.folder.report.kind
        except (DataError, InvalidMeasurement):
            return  # it is written again at the end
        if kind != "ablate":
            raise OutputExists(
                f"{self.folder.path} holds a report of kind {kind!r}",
                why="an ablation has a folder of its own",
                next_step="choose another --output_dir",
            )


def has_diverged(run: RunFolder) -> bool:
    """Whether a training run diverged: its weights are those of its last good step, and are not scored."""
    trained = run.report.training
    return trained is not None and any(each.diverged for each in trained.per_seed)


def _read(spec: AblationFile, file: str | None) -> TextExamples | Any:
    if file is None:
        return None
    return read_examples(file, **spec.columns.model_dump(), labelled=tasks.get(spec.task).labelled)
