"""A toy classifier of token bags and its data: the loop knows no tasks, so its tests need none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gelu_patch.training.recipe import Recipe

TOKENS, CLASSES = 20, 2


class ToyClassifier(nn.Module):
    """Embedding, GELU, dropout, norm, head; two seeds of the same value give the same weights."""

    def __init__(self, *, dropout: float = 0.0, seed: int = 1) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(TOKENS, 8, padding_idx=0)
            self.norm = nn.LayerNorm(8)
            self.head = nn.Linear(8, CLASSES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = F.gelu(self.embedding(tokens)).sum(dim=1)
        logits: Tensor = self.head(self.norm(self.dropout(mixed)))
        return logits


class ToyData:
    """Token lists whose label is whether token 1 occurs; remembers which examples were asked for."""

    def __init__(self, n: int = 32) -> None:
        self.tokens = [[1 + (7 * i + k) % (TOKENS - 1) for k in range(1 + i % 5)] for i in range(n)]
        self.asked: list[list[int]] = []

    @property
    def lengths(self) -> list[int]:
        return [len(tokens) for tokens in self.tokens]

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        self.asked.append(list(indices))
        rows = [torch.tensor(self.tokens[i]) for i in indices]
        labels = [int(1 in self.tokens[i]) for i in indices]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return {"tokens": padded, "labels": torch.tensor(labels)}


def toy_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch["tokens"]), batch["labels"])


def losses_of(values: Sequence[float]) -> Callable[[nn.Module, dict[str, Tensor]], Tensor]:
    """Return a loss whose value at the n-th call is the n-th of ``values``, for planted NaNs."""
    left = iter(values)

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return toy_loss(model, batch) * 0 + next(left) * model.get_parameter("head.bias").sum().exp()

    return loss


def recipe(**changes: object) -> Recipe:
    """Return a quick recipe: 8 steps of 8 examples."""
    values = {"per_device_train_batch_size": 8, "num_train_epochs": 2, "learning_rate": 0.01}
    return Recipe.model_validate({**values, **changes})
