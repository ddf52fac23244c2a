"""Flags from the fields of a pydantic model, so that a name and its default are written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gelu_patch.errors import UsageError

Verb = Callable[..., None]


def _flags(name: str, field: FieldInfo) -> list[str]:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    also = extra.get("flag")
    return [f"--{name}", *([f"--{also}"] if also else [])]


def _made(model: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"--{'.'.join(map(str, first['loc']))} cannot be {first['input']!r}", why=first["msg"]
        ) from error


def takes(model: type[BaseModel], parameter: str) -> Callable[[Verb], Verb]:
    """Replace ``parameter`` of a verb by one flag for each field of ``model``; the verb gets the model.

    The flag is ``--`` and the field's name, also the ``flag`` in its ``json_schema_extra``, its help the field's
    description. Values that the model refuses
    raise what the model raises.
    """

    def decorate(verb: Verb) -> Verb:
        hints = get_type_hints(verb, include_extras=True)
        flags = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=Annotated[field.annotation, typer.Option(*_flags(name, field), help=field.description)],
            )
            for name, field in model.model_fields.items()
        ]
        own = [
            own.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[own.name])
            for own in inspect.signature(verb).parameters.values()
            if own.name != parameter
        ]

        @functools.wraps(verb)
        def with_flags(**values: Any) -> None:
            fields = {flag.name: values.pop(flag.name) for flag in flags}
            verb(**values, **{parameter: _made(model, fields)})

        parameters = [*own, *flags]
        with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        with_flags.__annotations__ = {each.name: each.annotation for each in parameters}
        # typer would otherwise read the types of the wrapped verb.
        del with_flags.__wrapped__
        return with_flags

    return decorate
