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
from gelu_patch.training.order import epoch_steps
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


def test_it_is_the_plain_loop_that_one_would_write() -> None:
    """The oracle: torch alone, step by step, on the batches of the recipe's order."""
    settings = recipe(weight_decay=0.1, num_warmup_steps=2, max_grad_norm=0.5)
    data, expected = ToyData(), ToyClassifier().train()
    matrices = [parameter for parameter in expected.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in expected.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, fused=True)
    factors = [0.0, 0.5, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    steps = [step for epoch in range(2) for step in epoch_steps(data.lengths, settings, epoch)]
    for factor, step in zip(factors, steps, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * factor
        optimizer.zero_grad()
        toy_loss(expected, data.batch(step)).backward()
        torch.nn.utils.clip_grad_norm_(expected.parameters(), 0.5)
        optimizer.step()
    found = ToyClassifier()
    train(found, settings)
    # The learning rates of the two differ in their last bits.
    torch.testing.assert_close(weights(found), weights(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("n", [32, 29])
def test_accumulated_gradients_are_those_of_the_whole_batch(n: int, grouped: bool) -> None:
    whole, halved = ToyClassifier(), ToyClassifier()
    first = train(whole, recipe(group_by_length=grouped), ToyData(n))
    halves = recipe(group_by_length=grouped, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    data = ToyData(n)
    second = train(halved, halves, data)
    assert max(map(len, data.asked)) == 4
    assert losses(second) == pytest.approx(losses(first), abs=1e-5)
    # AdamW divides by the size of the gradient, so a rounding of 1e-7 may move a weight by a part of lr = 1e-2.
    torch.testing.assert_close(weights(halved), weights(whole), atol=2e-4, rtol=0)


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
    assert [StepRecord(**line) for line in lines] == [record for record, _ in seen]
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


def test_a_gradient_that_is_never_finite_ends_the_run_too() -> None:
    def broken_backward(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        loss = toy_loss(model, batch)
        loss.register_hook(lambda gradient: gradient * math.nan)
        return loss

    model = ToyClassifier()
    run = train(model, recipe(), loss=broken_backward)
    assert (run.diverged, run.steps, run.nan_steps) == (True, 5, 5)
    assert torch.equal(weights(model), weights(ToyClassifier()))


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
