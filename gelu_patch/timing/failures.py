"""What PyTorch raises while a model is measured, as errors that name the shape and say what to type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gelu_patch.errors import EnvironmentProblem, GeluPatchError, UnsupportedModel
from gelu_patch.reporting.storage.timings import Cell
from gelu_patch.timing.shapes import shape_text

_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def out_of_memory(cell: Cell, arm: str, why: str) -> EnvironmentProblem:
    """Return the error for a measurement that needs more memory than there is."""
    batch, length = cell.shape
    smaller = (max(1, batch // 2), length if batch > 1 else max(1, length // 2))
    return EnvironmentProblem(
        f"out of memory at the shape {shape_text(cell.shape)}",
        where=f"{arm}, {cell.phase}",
        why=why,
        next_step=f"--shapes {shape_text(smaller)}, or --dtype bfloat16",
    )


@contextmanager
def explained(cell: Cell, arm: str) -> Iterator[None]:
    """Turn what a model raises inside of the block into our errors."""
    try:
        yield
    except GeluPatchError:
        raise
    except (MemoryError, RuntimeError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        ran_out = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if ran_out or any(text in str(error).lower() for text in _NO_MEMORY):
            raise out_of_memory(cell, arm, first_line) from error
        raise _does_not_run(cell, arm, error) from error
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise _does_not_run(cell, arm, error) from error


def _does_not_run(cell: Cell, arm: str, error: Exception) -> UnsupportedModel:
    first_line = next(iter(str(error).splitlines()), "")
    return UnsupportedModel(
        f"the model does not run at the shape {shape_text(cell.shape)}",
        where=f"{arm}, {cell.phase}",
        why=f"{type(error).__name__}: {first_line}",
        next_step="try another shape; for inputs that gelu-patch cannot make, in Python: "
        "gp.benchmark(model, inputs=lambda shape: {...})",
    )
