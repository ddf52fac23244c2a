"""A live model for another process: saved whole to a temporary file, which each process loads anew."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import nn

from gelu_patch.errors import EnvironmentProblem
from gelu_patch.timing.processes import NotSendable

_UNREADABLE = (pickle.PickleError, AttributeError, ImportError, TypeError)


@contextmanager
def saved(model: nn.Module) -> Iterator[partial[nn.Module]]:
    """Save ``model`` for the length of the block; yields the function by which another process loads it.

    The file has the size of the weights. Considered: "fork" (the copy would have this process's threads and heap, which
    a fresh process is to be free of) and shared memory (weights would lie elsewhere than where a loader puts them).
    Raises NotSendable for a model that cannot be pickled, such as one with a lambda, EnvironmentProblem without room.
    """
    with tempfile.TemporaryDirectory(prefix="gelu-patch-") as folder:
        path = Path(folder) / "model.pt"
        try:
            torch.save(model, path)
        except _UNREADABLE as error:
            raise NotSendable("the model cannot be pickled", why=f"{type(error).__name__}: {error}") from error
        except (OSError, RuntimeError) as error:  # PyTorch's writer raises RuntimeError when the disk is full
            raise EnvironmentProblem(
                "cannot save the model for the measuring processes",
                where=path,
                why=str(error).splitlines()[0],
                next_step="set TMPDIR to a directory with room for the weights",
            ) from error
        yield partial(load_saved, str(path))


def load_saved(path: str) -> nn.Module:
    """Load a model in the process that measures it. Raises NotSendable when its classes cannot be found there."""
    try:
        model = torch.load(path, weights_only=False)  # written by this very program a moment ago
    except _UNREADABLE as error:
        raise NotSendable("another process cannot read the model", why=f"{type(error).__name__}: {error}") from error
    assert isinstance(model, nn.Module)
    return model
