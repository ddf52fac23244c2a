"""Two runs of one recipe are the same run, bit by bit, and what goes wrong is counted, not hidden."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gelu_patch.errors import UsageError
from gelu_patch.reporting.schema import SeedRun
from gelu_patch.training.log import StepRecord, read_log
from gelu_patch.training.loop import finetune
from gelu_patch.training.recipe import Recipe

from .toy import ToyClassifier, ToyData, losses_of, recipe, toy_loss


def train(model: nn.Module, recipe: Recipe, data: ToyData | None = None, **options: object) -> SeedRun:
    return finetune(model, data or ToyData(), recipe, **{"loss": toy_loss, **options})  # type: ignore[arg-type]


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def losses(run: SeedRun) -> list[float | None]:
    return [point.loss for point in run.curve]


@pytest.mark.parametrize("changes", [{}, {"group_by_length": True}, {"bf16": True}, {"max_train_steps": 3}])
def test_the_same_seed_gives_the_same_bits(changes: dict[str, object]) -> None:
    arms = [ToyClassifier(dropout=0.3), ToyClassifier(dropout=0.3)]
    runs = []
    for drawn, arm in enumerate(arms):
        torch.rand(drawn)  # an arm that drew more random numbers before training
        runs.append(train(arm, recipe(**changes)))
    assert torch.equal(*map(weights, arms))
    assert losses(runs[0]) == losses(runs[1])
    assert not torch.equal(weights(arms[0]), weights(ToyClassifier()))


def test_another_seed_is_another_run() -> None:
    arms = [ToyClassifier(dropout=0.3), ToyClassifier(dropout=0.3)]
    for seed, arm in enumerate(arms):
        train(arm, recipe(seed=seed))
    assert not torch.equal(*map(weights, arms))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("n", [32, 29])
def test_accumulated_gradients_are_those_of_the_whole_batch(n: int, grouped: bool) -> None:
    whole, cut = ToyClassifier(), ToyClassifier()
    base = recipe(group_by_length=grouped, max_grad_norm=0.5)
    first = train(whole, base, ToyData(n))
    halves = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 3}
    step_of_nine = recipe(group_by_length=grouped, max_grad_norm=0.5, per_device_train_batch_size=9)
    nine = ToyClassifier()
    expected = train(nine, step_of_nine, ToyData(n))
    found = train(cut, recipe(group_by_length=grouped, max_grad_norm=0.5, **halves), ToyData(n))
    assert losses(found) == pytest.approx(losses(expected), abs=1e-5)
    # AdamW divides by the size of the gradient, so a rounding of 1e-7 may move a weight by a part of lr = 1e-2.
    torch.testing.assert_close(weights(cut), weights(nine), atol=2e-4, rtol=0)
    assert first.steps != found.steps or losses(first) != losses(found)


def test_it_learns_and_scores_each_epoch() -> None:
    model, seen = ToyClassifier(), []

    def validate(model: nn.Module) -> float:
        assert model.training
        seen.append(model)
        return len(seen) / 10

    run = train(model, recipe(num_train_epochs=20), validate=validate)
    assert run.final_loss is not None
    assert run.final_loss < 0.5 * run.curve[0].loss  # type: ignore[operator]
    assert len(seen) == 20
    assert (run.best, run.last) == (2.0, 2.0)
    assert (run.steps, run.epochs, run.nan_steps, run.diverged) == (80, 20.0, 0, False)
    assert not model.training


def test_every_step_is_reported_and_logged(tmp_path: Path) -> None:
    seen: list[tuple[StepRecord, int]] = []
    path = tmp_path / "log.jsonl"
    train(ToyClassifier(), recipe(seed=5), on_step=lambda *at: seen.append(at), log_path=path)
    lines = read_log(path)
    assert lines == [record.__dict__ for record, _ in seen]
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert {total for _, total in seen} == {8}
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.01 * (8 - i) / 8 for i in range(8)])
    assert lines[-1]["epoch"] == 2.0
    assert {line["seed"] for line in lines} == {5}


def test_the_norm_is_before_clipping_and_the_step_is_clipped() -> None:
    seen: list[float] = []
    plain: Callable[[nn.Module, dict[str, Tensor]], Tensor] = toy_loss
    for scale in (1.0, 1000.0):
        run = train(
            ToyClassifier(),
            recipe(max_train_steps=1),
            loss=lambda model, batch, scale=scale: plain(model, batch) * scale,
        )
        seen.append(run.curve[0].grad_norm or 0.0)
    assert seen[1] == pytest.approx(1000 * seen[0], rel=1e-4)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted() -> None:
    def run(*values: float) -> tuple[SeedRun, Tensor]:
        model = ToyClassifier()
        return train(model, recipe(max_train_steps=len(values)), loss=losses_of(values)), weights(model)

    nan_only, untouched = run(math.nan, math.inf)
    assert torch.equal(untouched, weights(ToyClassifier()))
    assert (nan_only.nan_steps, nan_only.diverged) == (2, False)
    mixed, trained = run(1.0, math.nan, 1.0)
    assert mixed.nan_steps == 1
    assert torch.isfinite(trained).all()
    assert not torch.equal(trained, untouched)


def test_five_bad_steps_in_a_row_end_the_run(tmp_path: Path) -> None:
    nan = math.nan
    values = [1.0, nan, nan, nan, nan, 1.0, nan, nan, nan, nan, nan, 1.0]
    model, scores = ToyClassifier(), []
    run = train(
        model,
        recipe(max_train_steps=12),
        loss=losses_of(values),
        log_path=tmp_path / "log.jsonl",
        validate=lambda model: scores.append(0.5) or 0.5,  # type: ignore[func-returns-value]
    )
    assert (run.diverged, run.steps, run.nan_steps) == (True, 11, 9)
    assert len(scores) == 2
    assert sum("nonfinite" in line for line in read_log(tmp_path / "log.jsonl")) == 9
    assert torch.isfinite(weights(model)).all()


def test_ctrl_c_keeps_the_log(tmp_path: Path) -> None:
    def interrupt(record: StepRecord, total: int) -> None:
        if record.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ToyClassifier(), recipe(), on_step=interrupt, log_path=tmp_path / "log.jsonl")
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [1, 2, 3]
    assert train(ToyClassifier(), recipe(bf16=True)).steps == 8  # nothing of the broken run is in the way


def test_training_leaves_no_trace_on_the_model_but_its_weights() -> None:
    model = ToyClassifier()
    before = set(model.__dict__)
    train(model, recipe(bf16=True))
    assert set(model.__dict__) == before
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_parameters_stay() -> None:
    model = ToyClassifier()
    model.embedding.requires_grad_(False)
    train(model, recipe())
    assert torch.equal(model.embedding.weight, ToyClassifier().embedding.weight)
    assert not torch.equal(model.head.weight, ToyClassifier().head.weight)


def test_nothing_to_train_on() -> None:
    with pytest.raises(UsageError, match="nothing to train on"):
        train(ToyClassifier(), recipe(), ToyData(0))
