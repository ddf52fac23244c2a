"""Running a model over examples without changing it: modes kept, layout fixed, outputs checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gelu_patch.blocks.libraries import products_by_torch
from gelu_patch.errors import UnsupportedModel, UsageError
from gelu_patch.sites.modes import modes_restored
from gelu_patch.tasks.answers import Answers

if TYPE_CHECKING:
    from gelu_patch.tasks.base import Encoded


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in evaluation mode, without gradients; afterwards give each its own mode back."""
    # Not inference_mode: a module that caches a tensor here could not be trained afterwards.
    with modes_restored(model), torch.no_grad():
        model.eval()
        yield


def length_sorted_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return the indices of all examples in batches, longest first, ties in the order of the data.

    The layout depends on the data and ``batch_size`` only, so both arms of a comparison get the same.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size {batch_size} is not positive", next_step="--batch_size 32")
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def answered_batches(
    answer: Callable[[nn.Module, dict[str, Tensor]], Answers],
    model: nn.Module,
    data: Encoded,
    batches: Iterable[list[int]],
) -> Iterator[tuple[list[int], Answers]]:
    """Run ``batches`` of items one after the other; yield each with the answers to its items.

    The model's modes are restored after each. Products before an activation are PyTorch's meanwhile: another process,
    or the other arm, must not add up in another order because a measurement chose another library there.
    """
    for indices in batches:
        # Entered for each batch anew: whoever takes the answers must not meet a process without gradients.
        with evaluation_mode(model), products_by_torch():
            answers = answer(model, data.batch(indices))
        yield indices, answers


def run_model(model: nn.Module, batch: dict[str, Tensor], **options: Any) -> Any:
    """Run one batch on the model's device, without its ``labels`` and without what the model does not take."""
    accepted = _accepted_inputs(model)
    device = next(model.parameters()).device
    inputs = {
        name: tensor.to(device)
        for name, tensor in batch.items()
        if name != "labels" and (accepted is None or name in accepted)
    }
    return model(**inputs, **{name: value for name, value in options.items() if accepted is None or name in accepted})


def class_logits(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Run one batch and return its logits ``(batch, classes)`` on the model's device.

    ``labels`` is held back, so that every model is scored by the same loss, whatever its own would be.
    Raises UnsupportedModel when the output is something else.
    """
    logits = getattr(run_model(model, batch), "logits", None)
    size = len(batch["labels"])
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != size:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UnsupportedModel(
            f"{type(model).__name__} does not classify texts",
            why=f"its output should have .logits of shape ({size}, classes); found {found}",
            next_step="give a model for sequence classification",
        )
    return logits


def _accepted_inputs(model: nn.Module) -> frozenset[str] | None:
    """Return the names that ``forward`` takes, or None when it takes anything."""
    parameters = inspect.signature(model.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)


def positions_of(model: nn.Module) -> int | None:
    """Return how many tokens the model takes at once, where its configuration says so."""
    positions = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    return positions if isinstance(positions, int) and positions > 0 else None


def check_fits(model: nn.Module, data: Encoded) -> None:
    """Raise UnsupportedModel when the model cannot take these tokens, UsageError when they are too many."""
    accepted = _accepted_inputs(model)
    if accepted is not None and "input_ids" not in accepted:
        raise UnsupportedModel(
            f"{type(model).__name__} does not take token ids",
            why=f"its forward takes {', '.join(sorted(accepted)) or 'nothing'}",
            next_step="give a Transformers model for text",
        )
    _check_vocabulary(model, data)
    positions = positions_of(model)
    longest = max(data.lengths, default=0)
    if positions is not None and longest > positions:
        raise UsageError(
            f"an example has {longest} tokens and {type(model).__name__} takes {positions}",
            why="the tokenizer does not know the limit of the model",
            next_step=f"--max_length {positions}",
        )


def _check_vocabulary(model: nn.Module, data: Encoded) -> None:
    find = getattr(model, "get_input_embeddings", None)
    size = getattr(find() if find is not None else None, "num_embeddings", None)
    largest = max((max(tokens, default=0) for tokens in data.features["input_ids"]), default=0)
    if size is not None and largest >= size:
        raise UnsupportedModel(
            f"the tokenizer and {type(model).__name__} do not belong together",
            why=f"the tokenizer gives token {largest} and the model knows {size} tokens",
            next_step="pass the tokenizer that was saved with this model",
        )
