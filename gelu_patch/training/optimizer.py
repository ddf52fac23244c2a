"""AdamW and its learning rate schedule, as the Hugging Face examples set them up."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from gelu_patch.errors import UsageError
from gelu_patch.training.recipe import Recipe


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters; biases, norms and other vectors get no weight decay.

    Raises UsageError when nothing can be trained.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise UsageError(
            f"{type(model).__name__} has nothing to train",
            why="no parameter has requires_grad",
            next_step="model.requires_grad_(True), or give only some modules a gradient",
        )
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    try:
        # One pass over the weights instead of a dozen; some devices do not have it.
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    except RuntimeError:
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def learning_rates(recipe: Recipe, total_steps: int) -> Callable[[int], float]:
    """Return the learning rate of each optimizer step, the first being 0.

    A function of the step alone: a step that was skipped cannot shift the schedule of one arm.
    """
    from transformers import get_scheduler

    nothing = torch.optim.AdamW([torch.zeros(1)], lr=recipe.learning_rate)
    schedule = get_scheduler(
        recipe.lr_scheduler_type,
        optimizer=nothing,
        num_warmup_steps=recipe.num_warmup_steps,
        num_training_steps=total_steps,
    )
    factor = schedule.lr_lambdas[0]
    return lambda step: float(recipe.learning_rate * factor(step))
