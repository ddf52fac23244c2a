"""One optimizer step: micro-batches, the size of the gradient, clipping, the update, and what is noted of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gelu_patch.training.activations import STATISTICS, ActivationWatch
from gelu_patch.training.checkpoints import Checkpoint
from gelu_patch.training.gradients import clip, group_norms, layer_groups, total_norm
from gelu_patch.training.log import StepRecord
from gelu_patch.training.optimizer import build_optimizer, learning_rates
from gelu_patch.training.order import MicroBatch, Step, micro_batches
from gelu_patch.training.processes import Processes
from gelu_patch.training.randomness import set_randomness
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.state import capture, is_sharded, restore

Loss = Callable[[nn.Module, dict[str, Tensor]], Tensor]


class TrainingData(Protocol):
    """What the loop needs of its data; ``gelu_patch.tasks`` has one."""

    @property
    def lengths(self) -> Sequence[int]:
        """Number of tokens of each example."""

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return these examples as one batch of tensors, first dimension the example."""


class Trainer:
    """A model on its device with its optimizer, for one run. ``model`` is left unwrapped at the end by ``close``."""

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        recipe: Recipe,
        loss: Loss,
        accelerator: Any,
        processes: Processes,
        total_steps: int,
    ) -> None:
        self.bare = model.to(accelerator.device).train()
        self.data, self.recipe, self.loss = data, recipe, loss
        self.accelerator, self.processes = accelerator, processes
        optimizer = build_optimizer(model, recipe)
        if processes.count > 1 and not is_sharded(model):
            self.model, self.optimizer = accelerator.prepare(model, optimizer)
        else:
            self.model, self.optimizer = model, accelerator.prepare(optimizer)
        self.sharded = is_sharded(self.bare)
        self.groups = layer_groups(self.bare)
        self.watch = ActivationWatch(self.bare)
        self.learning_rate_of = learning_rates(recipe, total_steps)

    def run(self, step: Step) -> StepRecord:
        """Do one optimizer step. One whose loss or gradient is not finite changes no weight."""
        started = time.perf_counter()
        learning_rate = self.learning_rate_of(step.number)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with self._looking(step):
            mean_loss = self._accumulate(step)
        if self.accelerator.scaler is not None:
            self.accelerator.unscale_gradients(self.optimizer)
        loss, norms, activations = self._numbers(mean_loss)
        norm = total_norm(norms)
        if math.isfinite(norm):
            clip(self.groups, norm, self.recipe.max_grad_norm)
        # The loss scaler of fp16 must see every step: it skips bad ones itself, and learns from them.
        if self.accelerator.scaler is not None or (math.isfinite(loss) and math.isfinite(norm)):
            self.optimizer.step()
        self.optimizer.zero_grad()
        return StepRecord(
            seed=self.recipe.seed,
            step=step.number + 1,
            epoch=round(step.epoch, 4),
            loss=loss,
            grad_norm=norm,
            learning_rate=learning_rate,
            seconds=round(time.perf_counter() - started, 4),
            grad_norms=dict(zip(self.groups, norms, strict=True)),
            activations=activations,
        )

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return what training has changed; all processes must call it."""
        return capture(self.bare, self.optimizer.optimizer)

    def scaler(self) -> dict[str, Any]:
        """Return the state of fp16's loss scaler; empty without one."""
        scaler = self.accelerator.scaler
        return {} if scaler is None else dict(scaler.state_dict())

    def restore(self, checkpoint: Checkpoint, scaler: dict[str, Any]) -> None:
        """Go back to what a checkpoint holds."""
        restore(checkpoint, self.bare, self.optimizer.optimizer)
        if scaler and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(scaler)

    def close(self) -> None:
        """Take off what Accelerate has put around the model."""
        if self.model is not self.bare:
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)

    def _looking(self, step: Step) -> AbstractContextManager[None]:
        every = self.recipe.activation_steps
        return self.watch.looking() if every and step.number % every == 0 else nullcontext()

    def _accumulate(self, step: Step) -> Tensor:
        """Add up the gradients of the micro-batches; return the mean loss over the examples of the step."""
        losses = []
        batches = micro_batches(step, self.recipe, rank=self.processes.rank, processes=self.processes.count)
        for batch in batches:
            set_randomness(self.recipe.seed, step.number, batch.number)
            with self._synchronised(batch is batches[-1]):
                losses.append(self._forward_backward(batch))
        loss = torch.stack(losses).sum()
        return self.accelerator.reduce(loss, "sum") if self.processes.count > 1 else loss

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        """Let the processes add up their gradients after the last micro-batch only."""
        if self.sharded:
            bare: Any = self.bare  # FSDP2 has given it this method
            bare.set_requires_gradient_sync(last)
            return nullcontext()
        found: AbstractContextManager[None] = nullcontext() if last else self.accelerator.no_sync(self.model)
        return found

    def _forward_backward(self, batch: MicroBatch) -> Tensor:
        with self.accelerator.autocast():
            loss = self.loss(self.model, self.data.batch(batch.indices))
        # Weighted by size: the last micro-batch of an epoch may be smaller, and examples count alike.
        weighted = loss * batch.share
        # Gradients are averaged over the processes, and here they are to be added.
        self.accelerator.backward(weighted * self.processes.count)
        return weighted.detach()

    def _numbers(self, loss: Tensor) -> tuple[float, list[float], dict[str, dict[str, float]]]:
        """Return loss, norms by group, and activation statistics by site, with one wait for the device."""
        norms, seen = group_norms(self.groups).to(loss.device), self.watch.taken()
        numbers = torch.cat([loss.reshape(1).float(), norms, *(each.to(loss.device) for each in seen.values())])
        first, *rest = numbers.tolist()
        found = rest[len(self.groups) :]
        size = len(STATISTICS)
        activations = {
            site: dict(zip(STATISTICS, found[i * size : (i + 1) * size], strict=True)) for i, site in enumerate(seen)
        }
        return first, rest[: len(self.groups)], activations
