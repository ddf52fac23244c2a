"""What is timed: one forward, one forward and backward, or a few generated tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.timing.inputs import Inputs
from gelu_patch.timing.shapes import Phase

NEW_TOKENS = 16


def first_tensor(output: Any) -> torch.Tensor:
    """Return the first tensor of a model's output: the logits or the last hidden state."""
    if isinstance(output, torch.Tensor):
        return output
    values = output.values() if hasattr(output, "values") else output
    for value in values:
        if isinstance(value, torch.Tensor):
            return value
    raise UnsupportedModel(f"a model output of type {type(output).__name__} holds no tensor")


def runner(model: nn.Module, inputs: Inputs, phase: Phase, *, new_tokens: int = NEW_TOKENS) -> Callable[[], None]:
    """Return a function without arguments that runs the phase once; it sets the model's mode.

    ``forward`` runs in eval mode without gradients; ``forward_backward`` in training mode, with the sum of
    the output as the loss, and drops the gradients afterwards; ``generate`` makes exactly ``new_tokens`` tokens for
    each example, greedily.
    """

    def forward() -> None:
        with torch.inference_mode():
            model(**inputs)

    def forward_backward() -> None:
        torch.autograd.backward(first_tensor(model(**inputs)).float().sum())
        model.zero_grad(set_to_none=True)

    def generate() -> None:
        with torch.inference_mode():
            model.generate(  # type: ignore[operator]  # nn.Module types its attributes as tensors or modules
                **inputs, do_sample=False, num_beams=1, min_new_tokens=new_tokens, max_new_tokens=new_tokens
            )

    run = {"forward": forward, "forward_backward": forward_backward, "generate": generate}[phase]
    training = phase == "forward_backward"

    def in_mode() -> None:
        # Asked at every call: the arms of several phases take turns on the same modules.
        if model.training != training:
            model.train(training)
        run()

    return in_mode
