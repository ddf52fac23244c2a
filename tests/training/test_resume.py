"""A run that was stopped and goes on ends as one that was not: the same bits, the same log."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gelu_patch import patch_model
from gelu_patch.errors import DataError, DataNotFound, EnvironmentProblem, UsageError
from gelu_patch.reporting.schema import SeedRun
from gelu_patch.training.log import StepRecord, read_log
from gelu_patch.training.loop import finetune
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.saving import Saving

from .toy import ToyClassifier, ToyData, recipe, toy_loss


class Stopped(Exception):
    """The process is gone."""


class Batched(ToyClassifier):
    """With a buffer that training changes."""

    def __init__(self, **options: float) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.count = nn.BatchNorm1d(2)

    def forward(self, tokens: Tensor) -> Tensor:
        result: Tensor = self.count(super().forward(tokens))
        return result


def noisy_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Draws from every source of chance, so that one that is not where it was shows."""
    return toy_loss(model, batch) * (1 + random.random() + float(np.random.rand()) + torch.rand(()))


def train(
    directory: Path, recipe: Recipe, model: nn.Module | None = None, *, stop: int | None = None, **options: object
) -> tuple[nn.Module, SeedRun]:
    model = model or Batched(dropout=0.3)
    scores = iter(range(100))

    def on_step(record: StepRecord, total: int) -> None:
        if record.step == stop:
            raise Stopped

    settings: dict[str, object] = {
        "loss": noisy_loss,
        "validate": lambda model: float(random.random() + next(scores) * 0),
        "on_step": on_step,
        "log_path": directory / "log.jsonl",
        "saving": Saving(directory / "checkpoints", every=3),
    }
    return model, finetune(model, ToyData(29), recipe, **{**settings, **options})  # type: ignore[arg-type]


def bits(model: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in model.state_dict().values()]


def without_times(directory: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(directory / "log.jsonl")]


RECIPES = {
    "plain": {},
    "accumulated": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 3},
    "warmed up, cosine": {"num_warmup_steps": 4, "lr_scheduler_type": "cosine", "weight_decay": 0.1},
    "grouped, bf16": {"group_by_length": True, "bf16": True},
}


@pytest.mark.parametrize("stop", [1, 3, 4, 7, 8])
@pytest.mark.parametrize("name", RECIPES)
def test_stopped_and_gone_on_is_the_same_bit_by_bit(tmp_path: Path, name: str, stop: int) -> None:
    settings = recipe(activation_steps=2, **RECIPES[name])
    whole, expected = train(tmp_path / "whole", settings)
    with pytest.raises(Stopped):
        train(tmp_path / "cut", settings, stop=stop)
    torch.manual_seed(stop)  # another process has other random states
    random.seed(stop)
    np.random.seed(stop)
    model, found = train(tmp_path / "cut", settings)
    assert bits(model) == bits(whole)
    assert without_times(tmp_path / "cut") == without_times(tmp_path / "whole")
    assert found.model_copy(update={"seconds": 0}) == expected.model_copy(update={"seconds": 0})


def test_it_really_goes_on(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, recipe(), stop=7)
    seen: list[int] = []
    saving = Saving(tmp_path / "checkpoints", every=3)
    train(tmp_path, recipe(), saving=saving, on_step=lambda record, total: seen.append(record.step))
    assert seen == [7, 8]
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["step_00000003", "step_00000006"]


def test_a_patched_model_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    def patched() -> nn.Module:
        model = ToyClassifier(dropout=0.3)
        patch_model(model, "gelu_fused")
        return model

    whole, _ = train(tmp_path / "whole", recipe(), patched())
    with pytest.raises(Stopped):
        train(tmp_path / "cut", recipe(), patched(), stop=5)
    model, _ = train(tmp_path / "cut", recipe(), patched())
    assert bits(model) == bits(whole)


def test_invalid_ones_are_passed_over_and_named(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", recipe())
    with pytest.raises(Stopped):
        train(tmp_path / "cut", recipe(), stop=7)
    (tmp_path / "cut" / "checkpoints" / "step_00000006" / "optimizer.safetensors").write_bytes(b"")
    saving = Saving(tmp_path / "cut" / "checkpoints", every=3)
    model, _ = train(tmp_path / "cut", recipe(), saving=saving)
    assert bits(model) == bits(whole)
    notes = saving.start({}, None).notes  # type: ignore[arg-type]
    assert len(notes) == 2
    assert "step_00000006 is not used: optimizer.safetensors has 0 bytes" in notes[0]
    assert "goes on after step 3" in notes[1]


DIFFERENT: dict[str, tuple[Callable[[], dict[str, object]], str]] = {
    "recipe": (lambda: {"recipe": recipe(learning_rate=0.02)}, "recipe.learning_rate is 0.01 there and 0.02 here"),
    "model": (lambda: {"model": ToyClassifier(dropout=0.3)}, "model is 'Batched' there and 'ToyClassifier' here"),
    "about": (lambda: {"about": {"data": "b"}}, "data is absent there and 'b' here"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_checkpoint_of_another_run_is_refused_with_the_difference(tmp_path: Path, what: str) -> None:
    options, message = DIFFERENT[what]
    with pytest.raises(Stopped):
        train(tmp_path, recipe(), stop=7)
    with pytest.raises(UsageError, match="of another run") as caught:
        train(tmp_path, **{"recipe": recipe(), **options()})  # type: ignore[arg-type]
    assert message in str(caught.value.why)


def test_another_patch_is_refused_with_the_difference(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, recipe(), stop=7)
    model = Batched(dropout=0.3)
    patch_model(model, "relu")
    with pytest.raises(UsageError, match="of another run") as caught:
        train(tmp_path, recipe(), model)
    assert ".forward.gelu is absent there and 'relu' here" in str(caught.value.why)


@pytest.mark.parametrize("form", ["a run", "its checkpoints", "a checkpoint"])
def test_going_on_from_somewhere_else(tmp_path: Path, form: str) -> None:
    with pytest.raises(Stopped):
        train(tmp_path / "old", recipe(), stop=7)
    path = {"a run": "old", "its checkpoints": "old/checkpoints", "a checkpoint": "old/checkpoints/step_00000003"}[form]
    whole, _ = train(tmp_path / "whole", recipe())
    saving = Saving(tmp_path / "new" / "checkpoints", every=3, source=tmp_path / path)
    model, _ = train(tmp_path / "new", recipe(), saving=saving)
    assert bits(model) == bits(whole)
    assert without_times(tmp_path / "new") == without_times(tmp_path / "whole")


def test_going_on_from_nothing(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "absent"):
        saving = Saving(tmp_path / "checkpoints", source=source)
        with pytest.raises(DataNotFound, match="checkpoint"):
            train(tmp_path, recipe(), saving=saving)


def test_going_on_from_a_damaged_one_that_was_named(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, recipe(), stop=4)
    damaged = tmp_path / "checkpoints" / "step_00000003"
    (damaged / "log.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be used"):
        train(tmp_path, recipe(), saving=Saving(tmp_path / "checkpoints", source=damaged))


def test_nan_stops_the_run_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    def breaks_down(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        breaks_down.calls += 1  # type: ignore[attr-defined]
        return toy_loss(model, batch) * (1.0 if breaks_down.calls < 5 else float("nan"))  # type: ignore[attr-defined]

    breaks_down.calls = 0  # type: ignore[attr-defined]
    saving = Saving(tmp_path / "checkpoints", every=1)
    settings = recipe(num_train_epochs=9, max_nonfinite_steps=3)
    run = train(tmp_path, settings, saving=saving, loss=breaks_down)[1]
    assert (run.steps, run.nan_steps, run.diverged) == (7, 3, True)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["step_00000003", "step_00000004"]


def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gelu_patch.training.checkpoints as module

    whole, _ = train(tmp_path / "whole", recipe())
    real, calls = module.save_file, []

    def full(tensors: dict[str, Tensor], path: Path) -> None:
        calls.append(path)
        if len(calls) == 4:  # the second file of the second checkpoint
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(EnvironmentProblem, match="cannot write the checkpoint"):
        train(tmp_path / "cut", recipe())
    seen: list[int] = []
    model, _ = train(tmp_path / "cut", recipe(), on_step=lambda record, total: seen.append(record.step))
    assert seen == [4, 5, 6, 7, 8]
    assert bits(model) == bits(whole)
