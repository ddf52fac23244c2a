"""The file of an ablation: activations x seeds under one recipe, with the names of the ``train`` flags."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gelu_patch.errors import UnknownName, UsageError
from gelu_patch.patching.selectors import target_name
from gelu_patch.reporting.storage.settings_file import check_settings, read_settings, unknown_key
from gelu_patch.reporting.storage.timings import STOCK
from gelu_patch.runs.options import ArmOptions, Columns
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.settings import Checkpointing, Lora, Settings

EXAMPLE = "{model_name_or_path: bert, train_file: a.csv, test_file: b.csv, activations: [relu], output_dir: runs/a}"

Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


class Length(BaseModel):
    """How long an example or a block may be; ``block_size`` is the other name of the flag."""

    max_length: int | None = Field(None, ge=2)


# What `recipe` takes: these, but for what an ablation decides itself.
_GROUPS: tuple[type[BaseModel], ...] = (Recipe, Lora, Checkpointing, Length)
_DECIDED = ("seed", "resume_from_checkpoint")
_OTHER_NAMES = {"block_size": "max_length"}


class AblationFile(ArmOptions):
    """What an ablation file may say. Paths are relative to the working directory, as those of flags are.

    Every activation is trained with every seed; ``baseline``, which need not be listed, too. ``test_file`` is scored
    once, at the end; without it the validation file is what the arms are compared on. ``keep_models`` false removes
    the weights of a run once it is scored.
    """

    model_config = ConfigDict(extra="forbid")

    model_name_or_path: str = Field(description="Directory or Hub id.")
    train_file: str = Field(description="CSV, TSV, JSON lines, Parquet, text or dataset.")
    activations: list[str] = Field(min_length=1, description="What is compared; stock leaves the model as it is.")
    baseline: str = Field(STOCK, description="What every other activation is compared with.")
    output_dir: Path | None = Field(None, description="Folder of the ablation, unless --output_dir names it.")
    seeds: list[Seed] = Field([0, 1, 2, 3, 4], min_length=1, description="Each activation is trained with each.")
    validation_file: str | None = Field(None, description="Scored after every epoch and at the end.")
    test_file: str | None = Field(None, description="Scored once, at the end.")
    recipe: dict[str, Any] = Field({}, description="Flags of train: learning_rate, lora_r, max_length and so on.")
    columns: Columns = Field(Columns(), description="text_column, label_column and so on.")
    policy: Path | None = Field(None, description="Margins, fixed before the first run.")
    ignore_mismatched_sizes: bool = Field(False, description="Draw a new head where the sizes differ.")
    title: str = Field("", description="Title of the report.")
    model_label: str | None = Field(None, description="What reports call the model.")
    keep_models: bool = Field(True, description="Keep the weights of every run.")

    @property
    def arms(self) -> list[str]:
        """The activations, the baseline first."""
        return list(dict.fromkeys([self.baseline, *self.activations]))

    def settings(self, group: type[Settings]) -> Any:
        """Return what the recipe says for one group of flags."""
        return group(**_of(group, self.recipe))

    @property
    def max_length(self) -> int | None:
        """Tokens per example or block, where the recipe says it."""
        return Length(**_of(Length, self.recipe)).max_length

    @field_validator("baseline")
    @classmethod
    def _known_baseline(cls, name: str) -> str:
        return _checked_name(name)

    @field_validator("activations")
    @classmethod
    def _known_activations(cls, names: list[str]) -> list[str]:
        for name in names:
            _checked_name(name)
        return names

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is there twice, and would count twice")
        return seeds

    @field_validator("recipe")
    @classmethod
    def _flags_of_train(cls, given: dict[str, Any]) -> dict[str, Any]:
        renamed = {_OTHER_NAMES.get(name, name): value for name, value in given.items()}
        if len(renamed) < len(given):
            raise ValueError("max_length and block_size are one flag")
        if "checkpointing_steps" in renamed:  # a flag is text; YAML reads 500 as a number, and no as false
            value = renamed["checkpointing_steps"]
            renamed["checkpointing_steps"] = "no" if value is False else str(value)
        known = [name for group in _GROUPS for name in group.model_fields if name not in _DECIDED]
        for name in renamed:
            if name in _DECIDED:
                raise ValueError(f"{name} is not for the recipe of an ablation: it has the key seeds, and --resume")
            if name not in known:
                raise ValueError(unknown_key(name, known))
        for group in _GROUPS:
            try:
                group(**_of(group, renamed))
            except UsageError as error:
                raise ValueError(f"{error.what} ({error.why})" if error.why else error.what) from error
        return renamed

    @model_validator(mode="after")
    def _can_be_meant(self) -> AblationFile:
        canonical = [_checked_name(name) for name in self.arms]
        for position, name in enumerate(canonical):
            if name in canonical[:position]:
                twice = [self.arms[canonical.index(name)], self.arms[position]]
                raise ValueError(f"activations: {' and '.join(map(repr, twice))} are one activation")
        if len(self.arms) < 2:
            raise ValueError(f"activations: there is nothing to compare with the baseline {self.baseline!r}")
        if self.test_file is None and self.validation_file is None:
            raise ValueError("test_file: there is nothing to compare the activations on")
        return self


def read_ablation(source: AblationFile | Mapping[str, Any] | str | PathLike[str]) -> AblationFile:
    """Return what a file (YAML, JSON or TOML) or a mapping says. Raises UsageError, naming the key, when it cannot
    be meant."""
    if isinstance(source, AblationFile):
        return source
    if isinstance(source, Mapping):
        return check_settings(dict(source), AblationFile, kind="ablation", example=EXAMPLE)
    return read_settings(Path(source), AblationFile, kind="ablation", example=EXAMPLE)


def _of(group: type[BaseModel], recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in recipe.items() if name in group.model_fields}


def _checked_name(name: str) -> str:
    """Return the canonical name of what an arm is asked for."""
    try:
        return name if name == STOCK else target_name(name)
    except UnknownName as error:
        raise ValueError(f"{error.what}; {error.next_step} ({error.why})") from error
