"""From a checkpoint to a model with the head that a task needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.patching import apply_sidecar, load_sidecar, stock_config, variant_of
from gelu_patch.patching.adapters import adapter_base
from gelu_patch.tasks.base import LoadedModel
from gelu_patch.tasks.loading import explained, load_config, load_tokenizer, quiet_transformers, resolve_checkpoint


class Access(NamedTuple):
    """How a checkpoint may be read; goes to ``from_pretrained``."""

    trust_remote_code: bool = False
    revision: str | None = None


class Head(NamedTuple):
    """A kind of model: the Transformers class that makes it, and what it does, for errors."""

    auto_class: str
    mapping: str
    does: str


HEADS = {
    head.auto_class: head
    for head in (
        Head(
            "AutoModelForSequenceClassification",
            "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
            "classify texts",
        ),
        Head("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "continue texts"),
        Head("AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING_NAMES", "fill in hidden tokens"),
    )
}


def load_language_model(
    auto_class: str, name_or_path: str | Path, access: Access, seed: int, ignore_mismatched_sizes: bool
) -> LoadedModel:
    """Load a model that predicts tokens, and its tokenizer. Raises ModelNotFound and UnsupportedModel."""
    checkpoint, config, tokenizer = load_parts(auto_class, name_or_path, access)
    model, new_weights = build(auto_class, checkpoint, config, seed, access, ignore_mismatched_sizes)
    return LoadedModel(model, tokenizer, None, notes_on(new_weights, seed, trained=False))


def load_parts(auto_class: str, name_or_path: str | Path, access: Access) -> tuple[str, Any, Any]:
    """Return the checkpoint's place, its configuration and its tokenizer, which knows the model's limit.

    Raises ModelNotFound, and UnsupportedModel for an image or speech model, before its missing tokenizer is blamed.
    """
    checkpoint = resolve_checkpoint(name_or_path)
    config = load_config(checkpoint, **access._asdict())
    _check_kind(HEADS[auto_class], checkpoint, config)
    tokenizer = load_tokenizer(checkpoint, **access._asdict())
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return checkpoint, config, tokenizer


def _check_kind(head: Head, checkpoint: str, config: Any) -> None:
    from transformers.models.auto import modeling_auto

    remote = getattr(config, "auto_map", None) or {}
    if config.model_type not in getattr(modeling_auto, head.mapping) and head.auto_class not in remote:
        raise UnsupportedModel(
            f"{checkpoint} cannot {head.does}",
            why=f"it is a {config.model_type} model, which Transformers has no {head.auto_class} for",
            next_step="give a text model; gelu-patch inspect and gelu_patch.patch_model take any model",
        )


def build(
    auto_class: str, checkpoint: str, config: Any, seed: int, access: Access, ignore_mismatched_sizes: bool
) -> tuple[nn.Module, list[str]]:
    """Return the model, patched as it was saved, and the names of the weights that the checkpoint did not hold.

    A checkpoint that is an adapter gives the model that it belongs to, without the adapter.
    """
    import transformers

    base = adapter_base(Path(checkpoint))
    sidecar = load_sidecar(checkpoint, revision=access.revision)
    if base is not None and sidecar is None:
        sidecar = load_sidecar(base)
    if sidecar is not None:
        config = stock_config(config, sidecar)
    with explained(checkpoint), quiet_transformers(), torch.random.fork_rng(devices=[]):
        # Right before the head is drawn, so that nothing in between can make two arms differ.
        torch.manual_seed(seed)
        model, loading = getattr(transformers, auto_class).from_pretrained(
            base or checkpoint,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            output_loading_info=True,
            variant=variant_of(sidecar.hidden) if sidecar else None,
            **access._asdict(),
        )
    if sidecar is not None:
        apply_sidecar(model, sidecar)
    mismatched = (entry[0] if isinstance(entry, tuple) else entry for entry in loading["mismatched_keys"])
    return model, sorted({*loading["missing_keys"], *mismatched})


def notes_on(new_weights: list[str], seed: int, *, trained: bool) -> tuple[str, ...]:
    """Return what a user must know about weights that the checkpoint did not hold."""
    if not new_weights:
        return ()
    advice = "" if trained else "; without training its answers mean nothing"
    return (f"not in the checkpoint, drawn from seed {seed}: {', '.join(new_weights)}{advice}",)
