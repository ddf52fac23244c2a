"""What is timed: inputs of a shape, and one forward or one forward and backward over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from gelu_patch.errors import UnsupportedModel

Phase = Literal["forward", "forward_backward"]
Shape = tuple[int, int]
Inputs = dict[str, torch.Tensor]


def text_inputs(model: nn.Module, shape: Shape, seed: int = 0) -> Inputs:
    """Return random token ids ``(batch, seq)`` below the model's vocabulary size, on the model's device.

    Raises UnsupportedModel when the model has no vocabulary.
    """
    vocabulary = getattr(getattr(model, "config", None), "vocab_size", None)
    if not isinstance(vocabulary, int):
        raise UnsupportedModel(
            f"{type(model).__name__} has no vocabulary to draw tokens from",
            why="its config has no vocab_size",
            next_step="pass inputs=lambda shape: {...}, a function from (batch, seq) to the model's inputs",
        )
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocabulary, shape, generator=generator)
    device = next(model.parameters()).device
    return {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device)}


def first_tensor(output: Any) -> torch.Tensor:
    """Return the first tensor of a model's output: the logits or the last hidden state."""
    if isinstance(output, torch.Tensor):
        return output
    values = output.values() if hasattr(output, "values") else output
    for value in values:
        if isinstance(value, torch.Tensor):
            return value
    raise UnsupportedModel(f"a model output of type {type(output).__name__} holds no tensor")


def runner(model: nn.Module, inputs: Inputs, phase: Phase) -> Callable[[], None]:
    """Return a function without arguments that runs the phase once.

    ``forward`` runs in eval mode without gradients; ``forward_backward`` in training mode, with the sum of
    the output as the loss, and drops the gradients afterwards.
    """

    def forward() -> None:
        with torch.inference_mode():
            model(**inputs)

    def forward_backward() -> None:
        torch.autograd.backward(first_tensor(model(**inputs)).float().sum())
        model.zero_grad(set_to_none=True)

    model.train(phase == "forward_backward")
    return forward if phase == "forward" else forward_backward
