"""``gelu-patch inspect``: what would be patched, and what would be missed."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gelu_patch.cli import options
from gelu_patch.errors import NothingToPatch


def inspect(
    model_dir: Annotated[str, typer.Argument(metavar="MODEL_DIR", help="Directory, run folder or Hub id.")],
    to: Annotated[str | None, typer.Option("--to", help="Also print the plan for this activation.")] = None,
    where: options.Where = None,
    trust_remote_code: options.TrustRemoteCode = False,
    revision: options.Revision = None,
    json_output: options.Json = False,
    offline: options.Offline = False,
) -> None:
    """Print the census of a model's GELU sites, proven by running the model once where that is possible."""
    from gelu_patch.patching import plan_patch
    from gelu_patch.runs.inspect import inspect_checkpoint, load_any

    model = load_any(model_dir, trust_remote_code=trust_remote_code, revision=revision)
    census, note = inspect_checkpoint(model)
    plan = plan_patch(model, to, where) if to else None
    if json_output:
        content = census.to_dict() | ({"plan": plan.model_dump(mode="json")} if plan else {})
        typer.echo(json.dumps(content, indent=1))
    else:
        options.out.print(str(census))
        if plan:
            options.out.print(str(plan))
    if note:
        options.err.print(f"note: {note}")
    if not census.sites and not census.uncovered:
        raise NothingToPatch(
            "there is no GELU to patch in this model",
            where=model_dir,
            why=census.summary,
            next_step="inspect a model that uses GELU, or replace these activations by hand",
        )
