"""The fine-tuning loop. It is the same for every arm: what differs is the model that it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gelu_patch.blocks.libraries import products_by_torch
from gelu_patch.errors import UsageError
from gelu_patch.patching import check_ranks
from gelu_patch.reporting.schema import SeedRun
from gelu_patch.training.accelerator import accelerator_for
from gelu_patch.training.checkpoints import Content
from gelu_patch.training.identity import describe
from gelu_patch.training.log import StepRecord, TrainingLog
from gelu_patch.training.order import all_steps
from gelu_patch.training.processes import Processes
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.saving import Saving, Start
from gelu_patch.training.step import Loss, Trainer, TrainingData
from gelu_patch.training.summary import summarise

Validate = Callable[[nn.Module], float]
OnStep = Callable[[StepRecord, int], None]

# The loss scaler of fp16 starts at 2**16 and halves at each overflow: that many are no sign of anything.
SCALER_HALVINGS = 16


def finetune(
    model: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    *,
    loss: Loss,
    validate: Validate | None = None,
    on_step: OnStep | None = None,
    log_path: str | Path | None = None,
    saving: Saving | None = None,
    about: Mapping[str, Any] | None = None,
) -> SeedRun:
    """Fine-tune ``model`` in place and return the summary of the run; the model is left in evaluation mode.

    ``loss(model, batch)`` is the mean loss of a batch. ``validate(model)`` is called at the end of each epoch
    and returns the metric, larger is better; it must leave the model in training mode. ``on_step`` is called
    after each optimizer step with its record and the number of steps in all. Every step is appended to
    ``log_path`` at once, so that an interrupted run keeps its log.

    With ``saving`` checkpoints are written, and a run that was interrupted goes on from the last one, to the same
    weights and the same log (but for wall times). ``about`` is what else decides the course of the run, as plain
    data; a checkpoint of another run is refused.

    Two calls with the same weights, data and recipe do the same batches with the same dropout. On a CPU they give
    the same bits: products in fused blocks are PyTorch's meanwhile, because another process may find another
    library faster. A step whose loss or gradient is not finite changes no weight and is counted; five in a row
    (``max_nonfinite_steps``) end the run as diverged.

    In several processes, started by torchrun or accelerate launch, each runs its share of every step's batch, and only
    the first one writes and validates. The model may be sharded already (``torch.distributed.fsdp.fully_shard``), or
    is wrapped as the launcher's Accelerate configuration says. Their losses are those of one process with as many
    times the ``gradient_accumulation_steps``, to rounding.

    Raises UsageError when the recipe cannot be run here or a checkpoint is of another run, PatchConflict when the
    processes have different patches, EnvironmentProblem when a checkpoint cannot be written or fewer processes run than
    were asked for, and MissingExtra without accelerate.
    """
    lengths = list(data.lengths)
    if not lengths:
        raise UsageError("there is nothing to train on", next_step="give examples with --train_file")
    with accelerator_for(recipe) as accelerator, products_by_torch():
        processes = Processes.here()
        check_ranks(model)
        identity = describe(model, recipe, processes.count, lengths, **(about or {}))
        start = Start() if saving is None else saving.start(identity, processes)
        log_start = None if saving is None else start.log  # without checkpoints, lines follow those of other runs
        total_steps = recipe.total_steps(len(lengths), processes.count)
        trainer = Trainer(model, data, recipe, loss, accelerator, processes, total_steps)
        if start.checkpoint is not None:
            trainer.restore(start.checkpoint, dict(start.scaler))
        course = _Course(recipe, list(start.records), list(start.scores), trainer, validate, saving, identity)
        course.last_checkpoint = len(start.records) or None
        with TrainingLog(log_path if processes.is_first else None, log_start) as log:
            for step in all_steps(lengths, recipe, processes=processes.count, start=len(course.records)):
                record = trainer.run(step)
                course.records.append(record)
                log.append(record.to_json())
                if on_step is not None:
                    on_step(record, total_steps)
                if course.is_hopeless:
                    break
                course.after_step(ends_epoch=step.ends_epoch)
        trainer.close()
    model.eval()
    return summarise(
        recipe, course.records, course.scores, diverged=course.is_hopeless, last_checkpoint=course.last_checkpoint
    )


@dataclass
class _Course:
    """What is remembered of a run, and done between its steps."""

    recipe: Recipe
    records: list[StepRecord]
    scores: list[float]
    trainer: Trainer
    validate: Validate | None
    saving: Saving | None
    identity: Mapping[str, Any]
    last_checkpoint: int | None = None
    _save_next: bool = False

    @property
    def is_hopeless(self) -> bool:
        """Whether the last steps all failed to give a finite loss and gradient."""
        return is_hopeless(self.records, self.recipe.max_nonfinite_steps + SCALER_HALVINGS * self.recipe.fp16)

    def after_step(self, *, ends_epoch: bool) -> None:
        """Validate at the end of an epoch; write a checkpoint when one is due and the last step was a good one."""
        validate = self.validate
        if validate is not None and ends_epoch:
            model = self.trainer.bare
            # The forward of a sharded model needs all processes.
            mine = validate(model) if self.trainer.sharded else None
            self.scores.append(self.trainer.processes.first_only(lambda: validate(model) if mine is None else mine))
        if self.saving is None:
            return
        self._save_next |= self.saving.is_due(len(self.records), ends_epoch=ends_epoch)
        if self._save_next and self.records[-1].is_finite:
            self._save_next = False
            self._write(self.saving)

    def _write(self, saving: Saving) -> None:
        lines = "".join(record.to_json() + "\n" for record in self.records)
        content = Content(
            tensors=self.trainer.tensors(),
            state={"run": self.identity, "scores": self.scores, "scaler": self.trainer.scaler()},
            log=lines.encode(),
        )
        self.trainer.processes.first_only(lambda: saving.write(len(self.records), content))
        self.last_checkpoint = len(self.records)


def is_hopeless(records: Sequence[StepRecord], patience: int) -> bool:
    """Tell whether the last ``patience`` steps all failed to give a finite loss and gradient."""
    last = records[-patience:]
    return len(last) == patience and not any(record.is_finite for record in last)
