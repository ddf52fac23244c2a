"""What a report says about the model and the examples of a run."""

from __future__ import annotations

from typing import Any

from torch import nn

from gelu_patch.kernels import kernels
from gelu_patch.patching import current_plan, fallen_back
from gelu_patch.reporting.schema import Data, PatchedSite, PatchSummary, Subject
from gelu_patch.reporting.storage.predictions import digest
from gelu_patch.sites import inspect_model
from gelu_patch.tasks.data import TextExamples
from gelu_patch.tasks.encoding import tokenizer_sha256
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.weights import weights_sha256


def describe_model(model: nn.Module) -> Subject:
    """Return the report's section on the model and its patch; ``params`` counts shared parameters once."""
    config = getattr(model, "config", None)
    parameters = list(model.parameters())
    return Subject(
        model=str(getattr(config, "_name_or_path", "") or type(model).__name__),
        revision=getattr(config, "_commit_hash", None),
        weights_sha256=weights_sha256(model),
        architecture=type(model).__name__,
        dtype=str(parameters[0].dtype).removeprefix("torch.") if parameters else "",
        params=sum(parameter.numel() for parameter in parameters),
        patch=describe_patch(model),
    )


def describe_patch(model: nn.Module) -> PatchSummary:
    """Return what is patched on ``model`` right now, site by site."""
    plan, reasons = current_plan(model), fallen_back(model)
    return PatchSummary(
        target=plan.target,
        n_patched=len(plan.changes),
        n_sites=len(inspect_model(model)),
        plan=[
            PatchedSite(
                site=change.site,
                from_=change.before,
                to=change.after,
                kernel=change.kernel,
                kernel_version=kernels.get(change.kernel).version,
                fallback=reasons.get(change.site),
            )
            for change in plan.changes
        ],
    )


def describe_data(
    data: TextExamples, tokenizer: Any, labels: LabelMap | None, questions_sha256: str | None = None
) -> Data:
    """Return the report's section on the examples, with the hashes that ``compare`` checks.

    ``questions_sha256`` joins the hash of the inputs where these do not say what is asked: which tokens are predicted
    depends on windows and hidden places too.
    """
    inputs = data.inputs_sha256
    return Data(
        source=data.source,
        name=data.name,
        n=len(data),
        limited=data.limited,
        duplicate_inputs=len(data) - len(data.distinct_inputs),
        labels=list(labels.names) if labels else [],
        ids_sha256=data.ids_sha256,
        inputs_sha256=digest([inputs, questions_sha256]) if questions_sha256 else inputs,
        tokenizer_sha256=tokenizer_sha256(tokenizer),
    )
