"""Files that people write by hand: read, checked against a model, and refused in words that name the key."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gelu_patch.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)


def read_settings(path: str | Path, model: type[Model], *, kind: str, example: str) -> Model:
    """Read a file of a ``kind`` such as "policy": YAML (or JSON) or, by its ending, TOML.

    Raises UsageError when there is no such file, it cannot be parsed, or it says what ``model`` does not take.
    ``example`` is shown then.
    """
    path = Path(path)
    name = "TOML" if path.suffix.lower() == ".toml" else "YAML"
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text) if name == "TOML" else yaml.safe_load(text)
    except OSError as error:
        raise UsageError(
            f"cannot read the {kind} {path}", why=error.strerror, next_step=f"write one, for example: {example}"
        ) from error
    except (yaml.YAMLError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refusal(path, kind, f"it is not {name}: {' '.join(str(error).split())}", example) from error
    return check_settings(raw, model, kind=kind, example=example, path=path)


def check_settings(raw: Any, model: type[Model], *, kind: str, example: str, path: Path | None = None) -> Model:
    """Return what a file of a ``kind`` says. Raises UsageError, naming the key, when ``model`` does not take it."""
    if not isinstance(raw, dict):
        article = "an" if kind[0] in "aeiou" else "a"
        raise _refusal(path, kind, f"{article} {kind} is a mapping of keys to values", example)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        why = "; ".join(_problem(each, model) for each in error.errors())
        raise _refusal(path, kind, why, example) from error


def _refusal(path: Path | None, kind: str, why: str, example: str) -> UsageError:
    what = f"cannot use the {kind}" + (f" {path}" if path else "")
    return UsageError(what, why=why, next_step=f"for example: {example}")


def unknown_key(name: str, known: Sequence[str]) -> str:
    """Return what is wrong with a key that nobody knows, and the nearest one that is known."""
    near = get_close_matches(name.rsplit(".", 1)[-1], known, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown key {name!r}{hint} (known: {', '.join(known)})"


def _problem(error: Any, model: type[BaseModel]) -> str:
    *path, last = error["loc"] or ("",)
    where = ".".join(str(part) for part in (*path, last))
    if error["type"] == "extra_forbidden":
        return unknown_key(where, list(_model_at(model, path).model_fields))
    message = error["msg"]
    ours = message.removeprefix("Value error, ")
    text = ours if ours != message else message[0].lower() + message[1:]
    return f"{where}: {text}" if where else text


def _model_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel]:
    """Return the model of a mapping inside of others."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return model
