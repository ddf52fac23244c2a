"""How far a model is from itself: the same examples in other batches, by another number of threads.

What changes then is only the order in which floating-point numbers are added up. Differences of this size between two
arms mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from gelu_patch.blocks.libraries import products_by_torch
from gelu_patch.reporting.storage.drift import Drift, Layers
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.tasks.base import Encoded, Task
from gelu_patch.tasks.inference import evaluation_mode, length_sorted_batches, run_model

NOISE_EXAMPLES = 256
DRIFT_EXAMPLES = 32
DRIFT_BYTES = 16 * 2**20  # wide, deep models get fewer examples


def other_batch_size(batch_size: int) -> int:
    """Return a batch size that groups and pads examples differently."""
    return batch_size // 4 if batch_size >= 4 else batch_size + 3


@contextmanager
def other_threads() -> Iterator[None]:
    """Compute by one thread, or by two where there was one, for the length of the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def noise_predictions(
    task: Task, model: nn.Module, data: Encoded, predictions: Predictions, batch_size: int, n: int
) -> Predictions:
    """Predict ``n`` examples again, spread evenly over the data, in other batches and by other threads."""
    chosen = sorted({int(place) for place in np.linspace(0, len(predictions) - 1, min(n, len(predictions)))})
    with other_threads():
        return task.predict(model, data.some(chosen), batch_size=other_batch_size(batch_size), seed=predictions.seed)


def hidden_states(model: nn.Module, data: Encoded, batch_size: int) -> Drift | None:
    """Return the hidden states of the first examples, in both ways; None where the model does not show them."""
    few = data.some(range(min(DRIFT_EXAMPLES, len(data.ids))))
    own = _layers(model, few, batch_size)
    if own is None:
        return None
    kept = max(1, min(len(few.ids), DRIFT_BYTES // sum(layer[0].nbytes for layer in own)))
    with other_threads():
        noise = _layers(model, few, other_batch_size(batch_size))
    return Drift(list(few.ids[:kept]), [each[:kept] for each in own], noise and [each[:kept] for each in noise])


def _layers(model: nn.Module, data: Encoded, batch_size: int) -> Layers | None:
    """Return the hidden states of the first item of each example, averaged over its tokens, layer by layer."""
    items = list(np.unique(data.owners, return_index=True)[1])  # the first of each example
    pooled: list[list[Tensor]] = []
    for batch in length_sorted_batches([data.lengths[item] for item in items], batch_size):
        inputs = data.batch([items[place] for place in batch])
        with evaluation_mode(model), products_by_torch():
            states = states_of(run_model(model, inputs, output_hidden_states=True))
        if not states:
            return None
        mask = inputs["attention_mask"]
        pooled = pooled or [[torch.empty(0)] * len(items) for _ in states]
        for rows, state in zip(pooled, states, strict=True):
            for place, row in zip(batch, _mean_over_tokens(state, mask), strict=True):
                rows[place] = row
    layers = [torch.stack(rows).numpy() for rows in pooled]
    return layers if all(np.isfinite(layer).all() for layer in layers) else None


def states_of(output: object) -> Sequence[Tensor]:
    """Return the hidden states ``(batch, seq, hidden)`` of all layers, or nothing where there are none."""
    for name in ("hidden_states", "encoder_hidden_states"):
        states = getattr(output, name, None)
        if states is not None and all(isinstance(each, Tensor) and each.ndim == 3 for each in states):
            return list(states)
    return []


def _mean_over_tokens(state: Tensor, mask: Tensor) -> Tensor:
    state = state.double().cpu()
    if state.shape[:2] != mask.shape:  # a model that pools tokens on its way
        return state.mean(dim=1).float()
    weights = mask.double().unsqueeze(-1)
    return ((state * weights).sum(dim=1) / weights.sum(dim=1)).float()
