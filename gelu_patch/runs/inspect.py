"""Load any Transformers checkpoint for inspection, and find inputs to run it on."""

from __future__ import annotations

from typing import Any

from torch import nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.patching import class_named_in, load_patched, load_sidecar
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.sites import Census, inspect_model
from gelu_patch.tasks.loading import explained, load_config, quiet_transformers, resolve_checkpoint


def load_any(name_or_path: str, *, trust_remote_code: bool = False, revision: str | None = None) -> nn.Module:
    """Return the model that the checkpoint's config names, with its head and its patch, if it has one.

    ``name_or_path`` is a directory, the folder of a training run or a Hub id. Raises ModelNotFound when there
    is no model, UnsupportedModel when it needs ``trust_remote_code`` or is of no known kind.
    """
    import transformers

    run = RunFolder(name_or_path)
    checkpoint = resolve_checkpoint(run.model_path if run.has_report else name_or_path)
    access: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision}
    config = load_config(checkpoint, **access)
    model_class = class_named_in(config) or transformers.AutoModel
    with explained(checkpoint), quiet_transformers():
        if load_sidecar(checkpoint, revision=revision) is not None:
            model: nn.Module = load_patched(checkpoint, model_class, **access)[0]
        else:
            model = model_class.from_pretrained(checkpoint, **access)
    return model


def inspect_checkpoint(model: nn.Module) -> tuple[Census, str | None]:
    """Return the census, from a run on small made-up inputs if the model takes them; otherwise say why not."""
    inputs = getattr(model, "dummy_inputs", None)
    if not inputs:
        return inspect_model(model), "the model was not run: no example inputs are known for it"
    try:
        return inspect_model(model, inputs), None
    except UnsupportedModel as error:
        hint = "use gelu_patch.inspect_model(model, example_inputs) in Python"
        return inspect_model(model), f"the model was not run: {error.why}; {hint}"
