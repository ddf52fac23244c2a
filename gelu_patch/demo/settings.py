"""The numbers of the demo, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from gelu_patch.timing.arms import STOCK
from gelu_patch.training.recipe import Recipe

CHANGED = "relu"
SAME = "gelu_fused"
TARGETS = (SAME, CHANGED)

# The bar for "the same mathematics gives the same answers", on logits of order 1.
LOGIT_BAR = 1e-5


@dataclass(frozen=True)
class Settings:
    """Sizes of the demo. The defaults take about seven minutes on two cores and let a swap pass the 1 pp margin."""

    targets: tuple[str, ...] = TARGETS
    n_train: int = 2000
    n_test: int = 1000
    num_train_epochs: float = 2.0
    max_length: int = 48
    shapes: tuple[tuple[int, int], ...] = ((1, 32), (8, 32))
    processes: int = 3
    n_pairs: int = 40  # in each process
    max_pairs: int = 200  # on a machine too noisy for the A/A control
    max_seconds: float = 45.0  # after which a shape is not measured any longer
    gpt2_shape: tuple[int, int] = (4, 128)

    @classmethod
    def quick(cls) -> Settings:
        """Return sizes that show the path in less than a minute and prove nothing about quality."""
        return cls(
            n_train=48,
            n_test=64,
            num_train_epochs=1.0,
            shapes=((2, 16),),
            processes=1,
            n_pairs=10,
            max_pairs=10,
            gpt2_shape=(1, 16),
        )

    @classmethod
    def gallery(cls) -> Settings:
        """Return the sizes of the report in ``docs/gallery``: one more activation, and enough to test 1 pp on."""
        return cls(targets=(SAME, "gelu_tanh", CHANGED), n_train=4000, n_test=2500, n_pairs=200, max_seconds=120.0)

    @property
    def arms(self) -> tuple[str, ...]:
        """What is trained: stock, and every target."""
        return (STOCK, *self.targets)

    @property
    def recipe(self) -> Recipe:
        """How every arm is fine-tuned."""
        return Recipe(
            learning_rate=2e-4,
            weight_decay=0.01,
            num_train_epochs=self.num_train_epochs,
            per_device_train_batch_size=32,
            num_warmup_steps=max(1, self.n_train // 320),
            group_by_length=True,
            seed=0,
        )
