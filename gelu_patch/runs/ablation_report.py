"""The report of an ablation, from its run folders alone: it can be written again without training."""

from __future__ import annotations

import sys

import numpy as np

from gelu_patch.reporting.comparing.ablation import ablation_report
from gelu_patch.reporting.comparing.arms import SeedRuns
from gelu_patch.reporting.outcome import write_report_files
from gelu_patch.reporting.policy.policy_file import policy_for
from gelu_patch.reporting.schema import Report, SeedRun
from gelu_patch.reporting.storage.run_folder import TRAINING_LOG, RunFolder
from gelu_patch.runs.ablation_plan import AblationPlan
from gelu_patch.runs.seeds import seed_folder
from gelu_patch.training.log import StepRecord, read_log
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.summary import steps_to

NOTES = (
    "Every arm starts from the same weights and, with the same seed, from the same head, sees the same batches in the "
    "same order with the same dropout, and is scored on the same examples.",
)


def write_ablation_report(plan: AblationPlan) -> Report:
    """Write ``report.json``, ``report.md`` and ``report.html`` of a finished ablation, and return the report.

    Its duration is that of all runs together, whenever they were made.
    """
    arms = {name: _arm(plan, name) for name in plan.jobs}
    _measure_steps_to_target(plan, arms)
    baseline = plan.arm_folder(plan.spec.baseline)
    report = ablation_report(
        plan.spec.title or _title(plan, arms),
        arms,
        baseline=plan.spec.baseline,
        policy=policy_for(baseline, plan.policy),
        command=sys.argv,
        notes=NOTES,
        duration_s=round(sum(run.report.duration_s or 0.0 for arm in arms.values() for run in arm.runs), 3),
    )
    for arm in report.arms:  # over all seeds, where the run of one seed has its own
        arm.quality = RunFolder(plan.arm_folder(arm.name)).report.quality
    write_report_files(plan.folder, report)
    return report


def _arm(plan: AblationPlan, name: str) -> SeedRuns:
    folder = plan.arm_folder(name)
    return SeedRuns([RunFolder.open(seed_folder(folder, seed)) for seed in sorted(plan.spec.seeds)], folder)


def _title(plan: AblationPlan, arms: dict[str, SeedRuns]) -> str:
    subject = arms[plan.spec.baseline].report.subject
    model = subject.model.rstrip("/").rsplit("/", 1)[-1] if subject else plan.spec.model_name_or_path
    others = [name for name in plan.jobs if name != plan.spec.baseline]
    return f"{model}: {', '.join(others)} against {plan.spec.baseline}"


def _measure_steps_to_target(plan: AblationPlan, arms: dict[str, SeedRuns]) -> None:
    """Say of every run when it reached one loss: the recipe's, or the mean of those that the baseline ends at."""
    target = plan.spec.settings(Recipe).target_loss
    if target is None:
        ends = [run.final_loss for run in _trained(arms[plan.spec.baseline]) if run.final_loss is not None]
        target = float(np.mean(ends)) if ends else None
    for arm in arms.values():
        for run, trained in zip(arm.runs, _trained(arm), strict=True):
            assert isinstance(run, RunFolder)
            records = [StepRecord.from_values(each) for each in read_log(run.path / TRAINING_LOG)]
            trained.target_loss, trained.steps_to_target = target, steps_to(target, records)


def _trained(arm: SeedRuns) -> list[SeedRun]:
    return arm.report.training.per_seed if arm.report.training else []
