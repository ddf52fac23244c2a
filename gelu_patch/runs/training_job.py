"""What decides a training run, and the model that it begins with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gelu_patch.environment import DISTRIBUTION, best_device, package_version
from gelu_patch.patching import patch_model
from gelu_patch.patching.selectors import describe_where
from gelu_patch.runs.job import Job
from gelu_patch.tasks.base import LoadedModel, tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.timing.arms import STOCK
from gelu_patch.training.adapters import add_lora
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.settings import Lora

# What a report or a table shows, and no training step depends on.
_SHOWN_ONLY = ("model_label", "per_device_eval_batch_size")


@dataclass(frozen=True, kw_only=True)
class TrainingJob(Job):
    """Everything that decides what a training run computes.

    With ``validate_each_epoch`` the validation examples are scored after every epoch, otherwise only once at the
    end. ``model_label`` is what reports call the model, by default ``model_name_or_path``. With ``lora`` and a rank,
    adapters are trained instead of all weights.
    """

    model_name_or_path: str
    train: TextExamples
    recipe: Recipe
    validation: TextExamples | None = None
    max_length: int = 128
    validate_each_epoch: bool = True
    ignore_mismatched_sizes: bool = False
    model_label: str | None = None
    lora: Lora = field(default_factory=Lora)

    def describe(self) -> dict[str, Any]:
        """Return the job as plain data: two jobs with equal descriptions compute the same."""
        versions = {name: package_version(name) for name in (DISTRIBUTION, "torch", "transformers", "accelerate")}
        fields = self._fields()
        del fields["model_label"]
        return fields | {"device": best_device(), "versions": versions}

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint of this job must agree with, besides what ``training.identity`` describes."""
        fields = self._fields()
        for name in (*_SHOWN_ONLY, "recipe", "model_name_or_path"):
            del fields[name]
        fields["model_name"] = Path(self.model_name_or_path).name
        return {name: value for name, value in fields.items() if value is not None}

    def with_seed(self, seed: int) -> TrainingJob:
        """Return the same job with another seed: of the head, the data order and dropout."""
        return replace(self, recipe=self.recipe.model_copy(update={"seed": seed}))

    def _fields(self) -> dict[str, Any]:
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        for part in ("train", "validation"):
            examples = fields[part]
            fields[part] = examples and {"name": examples.name, "n": len(examples), "sha256": examples.inputs_sha256}
        fields["where"] = describe_where(self.where)
        fields["recipe"] = self.recipe.model_dump(mode="json")
        fields["lora"] = self.lora.model_dump(mode="json") if self.lora.lora_r else None
        return fields


def load_for_training(job: TrainingJob) -> LoadedModel:
    """Load the job's model with its head for the training labels, and check the validation labels against it."""
    loaded = tasks.get(job.task).load(
        job.model_name_or_path,
        train=job.train,
        seed=job.recipe.seed,
        trust_remote_code=job.trust_remote_code,
        revision=job.revision,
        ignore_mismatched_sizes=job.ignore_mismatched_sizes,
    )
    if job.validation is not None and loaded.labels is not None:
        loaded.labels.encode(job.validation)
    return loaded


def prepare_model(job: TrainingJob, device: Any) -> LoadedModel:
    """Load, move to ``device``, patch, and put adapters on, in this order."""
    loaded = load_for_training(job)
    loaded.model.to(device)  # before patching: a kernel is chosen for the device
    if job.activation != STOCK:
        patch_model(loaded.model, job.activation, job.where, memory=job.memory)
    if job.lora.lora_r is None:
        return loaded
    model = add_lora(loaded.model, job.lora, job.task, job.recipe.seed)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    note = f"LoRA of rank {job.lora.lora_r}: {trained:,} parameters are trained"
    return replace(loaded, model=model, notes=(*loaded.notes, note))
