"""Making torchvision importable where its C++ operators do not load.

A torchvision wheel built for another torch (CUDA wheel beside a CPU torch) fails at import, because it registers
fake kernels for `nms` and `qnms`, which its C++ library would have defined. Transformers then fails to import
hundreds of model files that use nothing of it but image transforms. Declaring the two operators is enough.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

import torch

_SCHEMAS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",)
_QUANTIZED = ("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",)

# A library that is collected takes its operators away again.
_KEPT: list[torch.library.Library] = []


def declare_missing_operators() -> None:
    """Declare torchvision's operators if torchvision is installed and cannot bring them itself."""
    spec = importlib.util.find_spec("torchvision")
    if _KEPT or spec is None or spec.origin is None or _library_loads(Path(spec.origin).parent):
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in (*_SCHEMAS, *_QUANTIZED):
        library.define(schema)
    _KEPT.append(library)


def _library_loads(folder: Path) -> bool:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = folder / f"_C{suffix}"
        if path.exists():
            try:
                torch.ops.load_library(path)
            except OSError:
                return False
            return True
    return False
