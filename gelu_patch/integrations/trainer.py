"""For people who keep ``transformers.Trainer`` or TRL: the stability evidence of ``gelu_patch.finetune``.

gelu_patch.patch_model(model, "gelu_fused")
trainer = Trainer(model=model, ..., callbacks=[StabilityCallback("runs/mine/training_log.jsonl")])
trainer.train()
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback

from gelu_patch.errors import UsageError
from gelu_patch.patching import check_ranks, current_plan
from gelu_patch.reporting.schema import SeedRun
from gelu_patch.training.activations import STATISTICS, ActivationWatch
from gelu_patch.training.gradients import group_norms, layer_groups, total_norm
from gelu_patch.training.log import StepRecord, TrainingLog
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.summary import summarise


class StabilityCallback(TrainerCallback):  # type: ignore[misc]  # Transformers is untyped
    """Writes ``log_path`` as ``gelu-patch train`` does: loss, gradient norms by layer, activations of the sites.

    It refuses to start on a model that is not patched, unless ``patched`` is False, for the baseline, and on processes
    with different patches. The Trainer clips gradients before it shows them, so norms are those after clipping. A loss
    is what the Trainer logs: with ``logging_steps`` above 1 the mean of these steps, for each of them.
    """

    def __init__(
        self, log_path: str | Path | None = None, *, patched: bool = True, activation_steps: int = 100
    ) -> None:
        self.log_path, self.patched, self.activation_steps = log_path, patched, activation_steps
        self.records: list[StepRecord] = []
        self._waiting: list[StepRecord] = []  # for their loss
        self._recipe = Recipe()
        self._groups: dict[str, list[nn.Parameter]] = {}
        self._norms: list[float] = []
        self._started = 0.0
        self._watch: ActivationWatch | None = None
        self._log, self._looking = ExitStack(), ExitStack()

    @property
    def summary(self) -> SeedRun:
        """What is kept of the run, as in the Training section of a report."""
        return summarise(self._recipe, self.records, [], diverged=False)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Refuse a model that is not as it should be, and begin the log."""
        is_patched = bool(current_plan(model).changes)
        if is_patched != self.patched:
            raise UsageError(
                f"this {type(model).__name__} is {'patched' if is_patched else 'not patched'}",
                why=f"the callback was made for a model that is {'' if self.patched else 'not '}patched",
                next_step='gelu_patch.patch_model(model, "gelu_fused") before trainer.train(), or '
                "StabilityCallback(..., patched=False) for the baseline",
            )
        check_ranks(model)
        self.records, self._waiting = [], []
        self._recipe = Recipe(seed=args.seed, learning_rate=args.learning_rate)
        self._groups, self._watch = layer_groups(model), ActivationWatch(model)
        self._file = self._log.enter_context(TrainingLog(self.log_path if state.is_world_process_zero else None))

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Begin to look at the activations, at some steps."""
        self._started, self._norms = time.perf_counter(), []
        if self._watch is not None and self.activation_steps and state.global_step % self.activation_steps == 0:
            self._looking.enter_context(self._watch.looking())

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Look at the gradients."""
        self._norms = group_norms(self._groups).tolist()

    def on_step_end(self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **others: Any) -> None:
        """Note the step; its loss comes with the Trainer's next log."""
        self._looking.close()
        seen = self._watch.taken() if self._watch is not None else {}
        record = StepRecord(
            seed=args.seed,
            step=state.global_step,
            epoch=round(state.epoch or 0.0, 4),
            loss=float("nan"),
            grad_norm=total_norm(self._norms),
            learning_rate=float(lr_scheduler.get_last_lr()[0]) if lr_scheduler is not None else 0.0,
            seconds=round(time.perf_counter() - self._started, 4),
            grad_norms=dict(zip(self._groups, self._norms, strict=False)),
            activations={site: dict(zip(STATISTICS, found.tolist(), strict=True)) for site, found in seen.items()},
        )
        self._waiting.append(record)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        """Write the steps whose loss this is."""
        loss = (logs or {}).get("loss", (logs or {}).get("train_loss"))
        if loss is None:
            return
        for record in self._waiting:
            known = replace(record, loss=float(loss))
            self.records.append(known)
            self._file.append(known.to_json())
        self._waiting = []

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Close the log."""
        self._log.close()
