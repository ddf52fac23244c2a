"""Which model classes the installed Transformers has."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .torchvision_ops import declare_missing_operators

# The common parents of a folder's models; they have no forward of their own.
_ABSTRACT = ("PreTrainedModel", "PretrainedModel", "PretrainedBartModel", "PretrainedFSMTModel")


@dataclass(frozen=True)
class ModelClass:
    """A concrete model class; ``folder`` is its folder below ``transformers/models``."""

    folder: str
    module: str
    name: str

    def load(self) -> type[Any]:
        """Import its module and return the class."""
        return getattr(importlib.import_module(self.module), self.name)


def prepare_transformers() -> None:
    """Import Transformers offline and silent: thousands of small configs bring thousands of remarks on sizes."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    declare_missing_operators()
    warnings.filterwarnings("ignore")
    import transformers

    transformers.logging.set_verbosity(logging.CRITICAL)
    transformers.logging.disable_progress_bar()


def modules() -> list[tuple[str, str]]:
    """Return (folder, module name) of every modeling file, in order."""
    import transformers

    files = sorted((Path(transformers.__file__).parent / "models").glob("*/modeling_*.py"))
    return [
        (file.parent.name, f"transformers.models.{file.parent.name}.{file.stem}")
        for file in files
        if not file.stem.startswith(("modeling_tf_", "modeling_flax_"))
    ]


def classes_of(folder: str, module: str) -> Iterator[ModelClass]:
    """Yield the concrete classes that a modeling file defines. Raises whatever its import raises."""
    import torch
    from transformers import PreTrainedModel

    for name, thing in vars(importlib.import_module(module)).items():
        if (
            isinstance(thing, type)
            and issubclass(thing, PreTrainedModel)
            and thing.__module__ == module
            and thing.__name__ == name  # an old name for the same class is no second class
            and not name.endswith(_ABSTRACT)
            and getattr(thing, "config_class", None) is not None
            and thing.forward is not torch.nn.Module.forward
        ):
            yield ModelClass(folder, module, name)


def find_class(folder: str, name: str) -> ModelClass:
    """Return the class ``name`` of ``folder``. Raises LookupError when this Transformers does not have it."""
    for where, module in modules():
        if where == folder:
            for found in classes_of(where, module):
                if found.name == name:
                    return found
    raise LookupError(f"Transformers has no {folder}/{name}")
