"""How much a config is shrunk: a ladder of recipes, from the smallest to the untouched default."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """All widths of a config and of its parts are divided by one number, which keeps them consistent.

    ``shallow`` cuts the number of layers, ``small_images`` the image size. Both can contradict other fields
    (indices of layers, strides of a backbone), so that later recipes leave them alone.
    """

    divide: int
    shallow: bool = True
    small_images: bool = True

    def __str__(self) -> str:
        words = [f"widths/{self.divide}"]
        words += ["shallow"] * self.shallow + ["small images"] * self.small_images
        return ", ".join(words)


# Tried in this order; the first with which a model runs counts.
LADDER = (
    Recipe(16),
    Recipe(8),
    Recipe(8, shallow=False, small_images=False),
    Recipe(4),
    Recipe(4, shallow=False, small_images=False),
    Recipe(2),
    Recipe(1),
    Recipe(1, shallow=False, small_images=False),
)
