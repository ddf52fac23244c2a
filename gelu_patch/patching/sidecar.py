"""``gelu_patch.json``: what a checkpoint says about its own mathematics, beside the weights."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from gelu_patch.environment import DISTRIBUTION, package_version
from gelu_patch.errors import DataError
from gelu_patch.patching.current import class_name
from gelu_patch.patching.plan import Plan

SIDECAR = "gelu_patch.json"
VERSION: Literal[2] = 2

_SAVE_AGAIN = "save the model again with model.save_pretrained(directory), or copy the file from where it came"


class ConfigChange(BaseModel):
    """One value of the saved ``config.json`` that differs from the config of the stock model."""

    model_config = ConfigDict(frozen=True)

    path: tuple[str, ...]
    old: Any
    new: Any


class Sidecar(BaseModel):
    """What ``gelu_patch.json`` holds.

    ``plan`` leads from the stock model to this one. ``activations`` is what every recognised site computed when it
    was saved. ``config`` lists the values that were renamed in ``config.json``; ``hidden`` says that the weights have
    a name that plain Transformers does not look for. ``model`` is the class (for an adapter: of its base).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[2] = VERSION
    kind: Literal["model", "adapter"] = "model"
    model: str
    activations: dict[str, str]
    plan: Plan
    config: tuple[ConfigChange, ...] = ()
    hidden: bool = False
    versions: dict[str, str | None]

    @classmethod
    def of(cls, model: nn.Module, **fields: Any) -> Sidecar:
        """Describe ``model``, with the versions that run now."""
        return cls(model=class_name(model), versions=current_versions(), **fields)

    def write(self, directory: str | os.PathLike[str]) -> Path:
        """Write it, whole or not at all, into ``directory``; return the path."""
        content = self.model_dump(mode="json")
        text = json.dumps({"digest": digest(content)} | content, indent=1) + "\n"
        path = Path(directory) / SIDECAR
        unfinished = path.with_name(f".{SIDECAR}.{os.getpid()}")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
        return path


def current_versions() -> dict[str, str | None]:
    """Return the versions that decide which sites are found and what they compute."""
    return {name: package_version(name) for name in (DISTRIBUTION, "torch", "transformers")}


def digest(content: dict[str, Any]) -> str:
    """Return the sha256 of ``content`` in canonical JSON, without its own ``digest``."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def load_sidecar(directory: str | os.PathLike[str], **hub: Any) -> Sidecar | None:
    """Return the sidecar of a checkpoint, or None when it has none.

    ``directory`` may be a Hub id; ``hub`` are then the keyword arguments of ``from_pretrained`` that say where
    (``revision``, ``token``, ``cache_dir``, ``subfolder``, ...). Raises DataError when the file is damaged, was
    edited, or is of a version that this gelu-patch does not know.
    """
    path = _find(directory, hub)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        _refuse(path, f"it is no whole JSON file: {error}", _SAVE_AGAIN, error)
    if not isinstance(content, dict):
        _refuse(path, "it holds no JSON object", _SAVE_AGAIN)
    _check_version(path, content.get("version"))
    if content.get("digest") != digest(content):
        _refuse(path, "its content does not match its digest: it was edited or damaged", _SAVE_AGAIN)
    try:
        return Sidecar.model_validate({key: value for key, value in content.items() if key != "digest"})
    except ValidationError as error:
        first = error.errors()[0]
        _refuse(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}", _SAVE_AGAIN, error)


def _find(directory: str | os.PathLike[str], hub: dict[str, Any]) -> Path | None:
    folder = Path(directory, hub.get("subfolder") or "")
    if Path(directory).exists() or os.path.isabs(directory):
        return folder / SIDECAR if (folder / SIDECAR).is_file() else None
    from transformers.utils.hub import cached_file

    quiet = dict.fromkeys(("missing_entries", "connection_errors", "gated_repo"), False)
    quiet = {f"_raise_exceptions_for_{case}": value for case, value in quiet.items()}
    try:
        found = cached_file(str(directory), SIDECAR, **hub, **quiet)
    except (OSError, ValueError):  # no such repository: the weights will say so better
        return None
    return Path(found) if found else None


def _check_version(path: Path, version: object) -> None:
    if isinstance(version, int) and version > VERSION:
        _refuse(
            path,
            f"it has version {version}, and this gelu-patch knows version {VERSION}",
            "pip install --upgrade gelu-patch",
        )
    if version != VERSION:
        _refuse(path, f"its version is {version!r}, which no gelu-patch wrote", _SAVE_AGAIN)


def _refuse(path: Path, why: str, next_step: str, cause: Exception | None = None) -> NoReturn:
    raise DataError(f"cannot use {SIDECAR}", where=path, why=why, next_step=next_step) from cause
