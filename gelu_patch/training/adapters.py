"""LoRA adapters on a model that may be patched: added, saved with what their base computes, and loaded again."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gelu_patch.errors import MissingExtra, UsageError
from gelu_patch.training.settings import Lora

ALL_LINEAR = "all-linear"
# Tasks of this package under PEFT's names, which decide whether a new head is trained, too.
_PEFT_TASKS = {"text-classification": "SEQ_CLS", "causal-lm": "CAUSAL_LM"}


def add_lora(model: Any, settings: Lora, task: str, seed: int) -> Any:
    """Return ``model`` with adapters that are drawn from ``seed``; its own weights are frozen, but for a classifier.

    To be called after patching: then the adapter is saved with what its base computes. Raises MissingExtra without
    peft, UsageError when a target module does not exist, naming those that do.
    """
    if importlib.util.find_spec("peft") is None:
        raise MissingExtra.of("peft", "train", "--lora_r")
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    targets = _targets(model, settings.lora_target_modules)
    config = LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha or 2 * (settings.lora_r or 0),
        lora_dropout=settings.lora_dropout,
        target_modules=targets,
        task_type=_PEFT_TASKS.get(task),
        # GPT-2 keeps its weights the other way round.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with torch.random.fork_rng(devices=[]), _quiet_peft():
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def load_adapter(base: Any, directory: Path) -> Any:
    """Return ``base``, which computes what it did in training, with the adapter in ``directory`` on it."""
    if importlib.util.find_spec("peft") is None:
        raise MissingExtra.of("peft", "train", "an adapter")
    from peft import PeftModel

    with _quiet_peft():
        return PeftModel.from_pretrained(base, directory)


@contextmanager
def _quiet_peft() -> Iterator[None]:
    """Without a warning about a name of Transformers that PEFT 0.21 still uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def _targets(model: Any, wanted: str | None) -> list[str] | str:
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

    if wanted == ALL_LINEAR:
        return ALL_LINEAR
    paths = list(_linear_paths(model))
    if wanted is None:
        usual = DEFAULTS.get(getattr(model.config, "model_type", ""))
        return usual if usual and (isinstance(usual, str) or _missing(usual, paths) == []) else ALL_LINEAR
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    missing = _missing(names, paths)
    if missing or not names:
        raise UsageError(
            f"there is no module {' or '.join(map(repr, missing)) or wanted!r} to put LoRA adapters on",
            why=f"the Linear modules of {type(model).__name__} are called {', '.join(_last_names(paths))}",
            next_step=f"--lora_target_modules {','.join(_last_names(paths)[:2])}, or {ALL_LINEAR}",
        )
    return names


def _linear_paths(model: nn.Module) -> Iterable[str]:
    from transformers.pytorch_utils import Conv1D

    return (path for path, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D))


def _missing(names: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Names that are no path and no end of one, which is how PEFT reads them."""
    paths = list(paths)
    return [name for name in names if not any(path == name or path.endswith(f".{name}") for path in paths)]


def _last_names(paths: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(path.rsplit(".", 1)[-1] for path in paths))
