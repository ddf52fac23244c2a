"""Whether a forward with gradient checkpointing waits for its backward.

Checkpointed code runs once more in the backward pass. If another function stands at a site by then, the gradients
belong to neither of the two, and PyTorch's own check sees nothing: all tensors have the shapes that they had.
"""

from __future__ import annotations

import gc
import sys
from types import CellType, FunctionType, MethodType
from typing import Any

from torch import nn
from torch.utils import checkpoint

from gelu_patch.errors import PatchConflict

# What PyTorch keeps of a checkpointed forward: without and with `use_reentrant`. Neither is a public name.
_FRAME: Any = getattr(checkpoint, "_CheckpointFrame", None)
_NODE: Any = getattr(checkpoint.CheckpointFunction, "_backward_cls", None)

# From what PyTorch keeps to the module that will run again: closures, bound methods, partials and their dictionaries.
_DEPTH = 6


def _instances_or_more() -> int:
    """Every instance refers to its class, so this grows with the first one; asking is free, looking is not."""
    return sum(sys.getrefcount(kind) for kind in (_FRAME, _NODE) if kind is not None)


_NONE_WAITS = _instances_or_more()


def refuse_inside_a_step(model: nn.Module) -> None:
    """Raise PatchConflict when a checkpointed forward of ``model`` waits for its backward.

    To be asked before the mathematics of a model changes. It may have to look through all objects of the
    process, so a model in eval mode, which may be serving, is believed not to be in a training step.
    """
    if _instances_or_more() <= _NONE_WAITS or not any(module.training for module in model.modules()):
        return
    modules = {id(module) for module in model.modules()}
    for waiting, code in _waiting():
        if modules & _modules_behind(code):
            raise PatchConflict(
                "the model is in the middle of a training step",
                where=type(model).__name__,
                why=f"{waiting} will run its forward again in the backward pass, with other mathematics than before",
                next_step="patch and revert between steps: call loss.backward() first, or drop the loss (del loss)",
            )


def _waiting() -> list[tuple[str, object]]:
    """What will be run again by a backward, with the name of what keeps it."""
    kinds = [kind for kind in (_FRAME, _NODE) if kind is not None]
    found: list[tuple[str, object]] = []
    for thing in gc.get_referrers(*kinds):
        if isinstance(thing, _FRAME or ()) and any(holder() is not None for holder in thing.weak_holders):
            found.append(("gradient checkpointing", thing.recompute_fn))
        elif isinstance(thing, _NODE or ()) and not _is_spent(thing):
            found.append(("gradient checkpointing (use_reentrant=True)", thing.run_function))
    return found


def _is_spent(node: Any) -> bool:
    """Whether a backward has freed the tensors of a node already."""
    try:
        node.saved_tensors  # noqa: B018  # raises when they are gone
    except RuntimeError:
        return True
    return False


def _modules_behind(code: object) -> set[int]:
    """The ids of the modules that running ``code`` starts from."""
    found: set[int] = set()
    seen, layer = {id(code)}, [code]
    for _ in range(_DEPTH):
        inner: list[object] = []
        for thing in layer:
            if isinstance(thing, nn.Module):
                found.add(id(thing))
            else:
                inner += [part for part in _parts(thing) if id(part) not in seen]
        seen.update(id(part) for part in inner)
        layer = inner
    return found


def _parts(thing: object) -> list[object]:
    if isinstance(thing, FunctionType):
        read = (thing.__globals__.get(name) for name in thing.__code__.co_names)
        return [
            *(thing.__closure__ or ()),
            *(thing.__defaults__ or ()),
            *(value for value in read if isinstance(value, nn.Module)),
        ]
    if isinstance(thing, CellType | MethodType | dict | list | tuple) or callable(thing):
        return [part for part in gc.get_referents(thing) if not isinstance(part, type)]
    return []
