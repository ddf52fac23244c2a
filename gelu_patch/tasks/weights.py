"""A hash of a model's weights: tells whether two arms start from, or end with, the same numbers."""

from __future__ import annotations

from hashlib import sha256

import torch
from torch import Tensor, nn


def weights_sha256(model: nn.Module) -> str:
    """Hash every parameter and saved buffer: name, dtype, shape and bytes, in order of name.

    Buffers that are not saved (``persistent=False``) are left out: they follow from the configuration, and
    a patch may add some without changing what a checkpoint holds.
    """
    hasher = sha256()
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, Tensor):
            hasher.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            # Viewed as bytes because numpy knows no bfloat16.
            hasher.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
