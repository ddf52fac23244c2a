"""The recipe of a fine-tuning run: the flags of the Hugging Face examples, with their names and meanings."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from gelu_patch.errors import UsageError
from gelu_patch.training.settings import Settings

# The schedules of transformers.get_scheduler that need no further arguments.
Schedule = Literal["linear", "cosine", "polynomial", "constant", "constant_with_warmup"]


class Recipe(Settings):
    """How to fine-tune. Raises UsageError, naming the flag, when a value cannot be meant.

    The batch of one optimizer step is ``per_device_train_batch_size * gradient_accumulation_steps`` times the number
    of processes. ``target_loss`` changes nothing but the report, which tells when it was reached.
    ``max_train_steps`` counts optimizer steps and overrides ``num_train_epochs``.
    """

    learning_rate: float = Field(default=5e-5, gt=0, allow_inf_nan=False, description="Peak rate of AdamW.")
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Not on biases and norms.")
    num_train_epochs: float = Field(default=3.0, gt=0, allow_inf_nan=False, description="Passes over the data.")
    max_train_steps: int | None = Field(default=None, gt=0, description="Optimizer steps, instead of epochs.")
    per_device_train_batch_size: int = Field(default=8, gt=0, description="Examples per forward.")
    gradient_accumulation_steps: int = Field(default=1, gt=0, description="Forwards per optimizer step.")
    lr_scheduler_type: Schedule = Field(default="linear", description="Schedule of the learning rate.")
    num_warmup_steps: int = Field(default=0, ge=0, description="Optimizer steps of linear warm-up.")
    max_grad_norm: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Gradients are cut to it.")
    group_by_length: bool = Field(default=False, description="Batches of similar length: less padding.")
    bf16: bool = Field(default=False, description="Autocast to bfloat16.")
    fp16: bool = Field(default=False, description="Autocast to float16, on a GPU.")
    max_nonfinite_steps: int = Field(default=5, gt=0, description="Steps in a row without a finite loss: then stop.")
    target_loss: float | None = Field(default=None, allow_inf_nan=False, description="Report the steps to this loss.")
    activation_steps: int = Field(
        default=100, ge=0, description="Look at the activations every so many steps, which then run unfused; 0: never."
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of the head, the data order and dropout.")

    def _check(self) -> None:
        if self.bf16 and self.fp16:
            raise UsageError("bf16 and fp16 exclude each other", next_step="keep one; --bf16 is the safer one")

    @property
    def mixed_precision(self) -> Literal["no", "bf16", "fp16"]:
        """The precision of autocast, as Accelerate names it."""
        return "bf16" if self.bf16 else "fp16" if self.fp16 else "no"

    def step_batch_size(self, processes: int = 1) -> int:
        """Examples per optimizer step, all micro-batches of all processes together."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps * processes

    def steps_per_epoch(self, n_examples: int, processes: int = 1) -> int:
        """Optimizer steps in one pass over the data; the last one may be smaller."""
        return math.ceil(n_examples / self.step_batch_size(processes))

    def total_steps(self, n_examples: int, processes: int = 1) -> int:
        """Optimizer steps of the whole run."""
        return self.max_train_steps or math.ceil(self.num_train_epochs * self.steps_per_epoch(n_examples, processes))
