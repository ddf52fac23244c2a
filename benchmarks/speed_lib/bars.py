"""What the kernels must reach, as data. Ratios are times of the other arm over times of ours: higher is better."""

from __future__ import annotations

from dataclasses import dataclass

from .names import COMPILED, OURS, STOCK


@dataclass(frozen=True)
class Bar:
    """``piece`` of cpu_models.json: ``ours`` must be ``floor`` times as fast as ``other``, better ``goal`` times.

    A floor of 1 is "not slower".
    """

    piece: str
    other: str
    floor: float
    goal: float | None = None
    ours: str = OURS

    @property
    def text(self) -> str:
        """The bar in words."""
        if self.floor == 1:
            return f"not slower than {self.other}"
        return f"{self.floor:g}x" + (f" / {self.goal:g}x" if self.goal else "") + f" {self.other}"


MODEL_BARS = (
    Bar("gpt2:float32:infer:1", STOCK, 1.15, 1.25),
    Bar("gpt2:float32:infer:1", COMPILED, 1.0),
    Bar("gpt2:bfloat16:infer:1", STOCK, 1.15, 1.25),
    Bar("gpt2:bfloat16:infer:1", COMPILED, 1.0),
    Bar("gpt2:float32:train:1", STOCK, 1.12, 1.18),
    Bar("t5:float32:infer:1", STOCK, 1.07),
    Bar("minilm:float32:infer:1", STOCK, 1.10),
    *(
        Bar(f"bert:{dtype}:{phase}:{threads}", STOCK, 1.0)
        for dtype in ("float32", "bfloat16")
        for phase in ("infer", "train")
        for threads in (1, 2)
    ),
)

# Time of ours over that of the fastest plain linear, at most.
LINEAR_BAR = 1.03
