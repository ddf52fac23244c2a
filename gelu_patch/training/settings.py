"""Groups of flags with the names of the Hugging Face examples; a value that cannot be meant is a UsageError."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from gelu_patch.errors import UsageError


class Settings(BaseModel):
    """Base of the groups. Raises UsageError, naming the flag, when a value cannot be meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            settings = validate(values)
        except ValidationError as error:
            raise cls._usage_error(error) from error
        settings._check()
        return settings

    def _check(self) -> None:
        """Raise UsageError when values contradict each other."""

    @classmethod
    def _usage_error(cls, error: ValidationError) -> UsageError:
        """Return the first complaint as an error that names the flag and the value."""
        first = error.errors()[0]
        flag = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            return UsageError(
                f"a {cls.__name__.lower()} has no {flag!r}",
                why=f"it has {', '.join(cls.model_fields)}",
                next_step="use the flag names of the Hugging Face examples",
            )
        return UsageError(
            f"--{flag} {first['input']} cannot be meant", why=first["msg"], next_step="gelu-patch train --help"
        )


# What --resume_from_checkpoint without a value stands for.
NEWEST = "newest"


class Checkpointing(Settings):
    """When checkpoints are written, and from which one a run goes on."""

    checkpointing_steps: str = Field(
        default="epoch", description="Write a checkpoint every so many steps, after every epoch (epoch), or never (no)."
    )
    save_total_limit: int = Field(default=2, description="How many checkpoints are kept; never fewer than two.")
    resume_from_checkpoint: Path | None = Field(
        default=None,
        description="Go on from this checkpoint or run; without a value, from the newest in --output_dir. An "
        "interrupted run of the same recipe in --output_dir goes on anyway.",
    )

    def _check(self) -> None:
        if self.every is not None and self.every != "epoch" and self.every < 1:
            raise _not_a_number_of_steps(self.checkpointing_steps)

    def source(self, output_dir: Path) -> Path | None:
        """Return what ``resume_from_checkpoint`` names, in the folder of a run; None when it is not given."""
        given = self.resume_from_checkpoint
        return output_dir if given == Path(NEWEST) else given

    @property
    def every(self) -> int | Literal["epoch"] | None:
        """The number of steps between checkpoints, ``epoch``, or None for never."""
        if self.checkpointing_steps == "epoch":
            return "epoch"
        if self.checkpointing_steps == "no":
            return None
        try:
            return int(self.checkpointing_steps)
        except ValueError as error:
            raise _not_a_number_of_steps(self.checkpointing_steps) from error


def _not_a_number_of_steps(value: str) -> UsageError:
    return UsageError(
        f"--checkpointing_steps {value} cannot be meant",
        why="it is neither a number of steps nor epoch nor no",
        next_step="--checkpointing_steps 500, or epoch",
    )


class Lora(Settings):
    """Train low-rank adapters (PEFT) instead of all weights. None at all when ``lora_r`` is None."""

    lora_r: int | None = Field(default=None, gt=0, description="Rank of LoRA adapters; all weights without it.")
    lora_alpha: int | None = Field(default=None, gt=0, description="Scale of the adapters; default: twice the rank.")
    lora_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before the adapters.")
    lora_target_modules: str | None = Field(
        default=None,
        description="Names of the modules that get adapters, with commas between, or all-linear; default: PEFT's "
        "choice for this kind of model.",
    )

    def _check(self) -> None:
        if self.lora_r is None and self != type(self).model_construct():
            raise UsageError(
                "LoRA flags without a rank", why="adapters are trained with --lora_r only", next_step="--lora_r 8"
            )


Tracker = Literal["none", "tensorboard", "wandb", "trackio"]


class Tracking(Settings):
    """Where the steps are shown besides the run's own log."""

    with_tracking: bool = Field(default=False, description="Use the trackers of --report_to.")
    report_to: Tracker = Field(default="none", description="Tracker: tensorboard, wandb, trackio or none.")

    def _check(self) -> None:
        if self.with_tracking and self.report_to == "none":
            raise UsageError(
                "--with_tracking without a tracker",
                why="every step is in training_log.jsonl anyway, and no tracker is the default",
                next_step="--report_to tensorboard, wandb or trackio",
            )
