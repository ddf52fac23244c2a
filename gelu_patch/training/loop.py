"""The fine-tuning loop. It is the same for every arm: what differs is the model that it is given."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gelu_patch.errors import UsageError
from gelu_patch.reporting.schema import SeedRun
from gelu_patch.training.accelerator import accelerator_for
from gelu_patch.training.log import StepRecord, TrainingLog
from gelu_patch.training.optimizer import build_optimizer, learning_rates
from gelu_patch.training.order import Step, all_steps, micro_batches
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.summary import summarise

Loss = Callable[[nn.Module, dict[str, Tensor]], Tensor]
Validate = Callable[[nn.Module], float]
OnStep = Callable[[StepRecord, int], None]

# So many steps in a row without a finite loss and gradient, and a run does not come back.
HOPELESS_STEPS = 5
# The loss scaler of fp16 starts at 2**16 and halves at each overflow: that many are no sign of anything.
SCALER_HALVINGS = 16


class TrainingData(Protocol):
    """What the loop needs of its data; ``gelu_patch.tasks`` has one."""

    @property
    def lengths(self) -> Sequence[int]:
        """Number of tokens of each example."""

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return these examples as one batch of tensors, first dimension the example."""


def finetune(
    model: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    *,
    loss: Loss,
    validate: Validate | None = None,
    on_step: OnStep | None = None,
    log_path: str | Path | None = None,
) -> SeedRun:
    """Fine-tune ``model`` in place and return the summary of the run; the model is left in evaluation mode.

    ``loss(model, batch)`` is the mean loss of a batch. ``validate(model)`` is called at the end of each epoch
    and returns the metric, larger is better; it must leave the model in training mode. ``on_step`` is called
    after each optimizer step with its record and the number of steps in all. Every step is appended to
    ``log_path`` at once, so that an interrupted run keeps its log.

    Two calls with the same weights, data and recipe do the same batches with the same dropout: the random
    state of Python, numpy and torch is set from the recipe's seed. A step whose loss or gradient is not finite
    changes no weight and is counted; five in a row end the run as diverged.

    Raises UsageError when the recipe cannot be run here, and MissingExtra without accelerate.
    """
    lengths = list(data.lengths)
    if not lengths:
        raise UsageError("there is nothing to train on", next_step="give examples with --train_file")
    total_steps = recipe.total_steps(len(lengths))
    patience = HOPELESS_STEPS + (SCALER_HALVINGS if recipe.fp16 else 0)
    records: list[StepRecord] = []
    scores: list[float] = []
    with accelerator_for(recipe) as accelerator, TrainingLog(log_path) as log:
        trainer = _Trainer(model, data, recipe, loss, accelerator, total_steps)
        for step in all_steps(lengths, recipe):
            record = trainer.run(step)
            records.append(record)
            log.append(record.to_json())
            if on_step is not None:
                on_step(record, total_steps)
            if is_hopeless(records, patience):
                break
            if validate is not None and step.ends_epoch:
                scores.append(validate(model))
    model.eval()
    return summarise(recipe.seed, records, scores, diverged=is_hopeless(records, patience))


def is_hopeless(records: Sequence[StepRecord], patience: int) -> bool:
    """Tell whether the last ``patience`` steps all failed to give a finite loss and gradient."""
    last = records[-patience:]
    return len(last) == patience and not any(record.is_finite for record in last)


class _Trainer:
    """What one run needs for an optimizer step: model, data and optimizer, made in order."""

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        recipe: Recipe,
        loss: Loss,
        accelerator: Any,
        total_steps: int,
    ) -> None:
        from accelerate.utils import set_seed

        self.model = model.to(accelerator.device).train()
        self.data, self.recipe, self.loss, self.accelerator = data, recipe, loss, accelerator
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = accelerator.prepare(build_optimizer(model, recipe))
        self.learning_rate_of = learning_rates(recipe, total_steps)
        self.steps_done = 0
        # Last, right before the first batch: what an arm's setup drew must not shift its dropout.
        set_seed(recipe.seed)

    def run(self, step: Step) -> StepRecord:
        """Do one optimizer step: learning rate, micro-batches, clipping, update."""
        started = time.perf_counter()
        learning_rate = self.learning_rate_of(self.steps_done)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss = float(self._accumulate(step))
        norm = float(self.accelerator.clip_grad_norm_(self.parameters, self.recipe.max_grad_norm))
        # The loss scaler of fp16 must see every step: it skips bad ones itself, and learns from them.
        if self.accelerator.scaler is not None or (math.isfinite(loss) and math.isfinite(norm)):
            self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps_done += 1
        return StepRecord(
            seed=self.recipe.seed,
            step=self.steps_done,
            epoch=round(step.epoch, 4),
            loss=loss,
            grad_norm=norm,
            learning_rate=learning_rate,
            seconds=round(time.perf_counter() - started, 4),
        )

    def _accumulate(self, step: Step) -> Tensor:
        """Add up the gradients of the micro-batches; return the mean loss over the examples of the step."""
        losses = []
        for indices in micro_batches(step, self.recipe):
            with self.accelerator.autocast():
                loss = self.loss(self.model, self.data.batch(indices))
            # Weighted by size: the last micro-batch of an epoch may be smaller, and examples count alike.
            weighted = loss * (len(indices) / len(step.indices))
            self.accelerator.backward(weighted)
            losses.append(weighted.detach())
        return torch.stack(losses).sum()
