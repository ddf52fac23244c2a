"""A recipe is the flags of the Hugging Face examples; a value that cannot be meant is refused by its flag."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gelu_patch.errors import UsageError
from gelu_patch.training.recipe import Recipe


def test_defaults_are_those_of_the_examples() -> None:
    recipe = Recipe()
    assert (recipe.learning_rate, recipe.num_train_epochs, recipe.per_device_train_batch_size) == (5e-5, 3, 8)
    assert (recipe.lr_scheduler_type, recipe.max_grad_norm, recipe.mixed_precision) == ("linear", 1.0, "no")


@pytest.mark.parametrize(
    ("changes", "n", "steps"),
    [
        ({}, 16, 6),
        ({}, 17, 9),
        ({"num_train_epochs": 0.5}, 16, 1),
        ({"num_train_epochs": 0.1}, 160, 2),
        ({"gradient_accumulation_steps": 2}, 17, 6),
        ({"max_train_steps": 4}, 17, 4),
    ],
)
def test_number_of_steps(changes: dict[str, Any], n: int, steps: int) -> None:
    assert Recipe(**changes).total_steps(n) == steps


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"learning_rate": -1}, "--learning_rate -1"),
        ({"learning_rate": "fast"}, "--learning_rate fast"),
        ({"learning_rate": float("nan")}, "--learning_rate nan"),
        ({"num_train_epochs": 0}, "--num_train_epochs 0"),
        ({"per_device_train_batch_size": 0}, "--per_device_train_batch_size 0"),
        ({"lr_scheduler_type": "cosin"}, "'linear', 'cosine'"),
        ({"seed": -1}, "--seed -1"),
        ({"max_grad_norm": float("inf")}, "--max_grad_norm inf"),
        ({"max_grad_norm": 0}, "--max_grad_norm 0"),
        ({"bf16": True, "fp16": True}, "exclude each other"),
        ({"lr": 1e-3}, "no 'lr'"),
    ],
)
def test_refusals(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe(**changes)
    assert says in str(caught.value)
    assert caught.value.next_step


def test_a_recipe_is_plain_data_and_cannot_be_changed() -> None:
    recipe = Recipe(bf16=True, seed=3)
    assert Recipe.model_validate(recipe.model_dump()) == recipe
    assert recipe.mixed_precision == "bf16"
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 4
