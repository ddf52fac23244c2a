"""What a maker of inputs may know: the config with all its parts, the sizes, and a seeded source of numbers."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch

from .. import fields

TEXT = ("text", "decoder", "llm", "thinker", "talker")
VISION = ("vision", "image", "backbone", "vit", "encoder")
AUDIO = ("audio", "speech", "encoder", "whisper")


@dataclass
class Context:
    """A function of a model, whose arguments are wanted; ``batch`` and ``length`` are the sizes that makers keep to."""

    function: Any
    config: Any
    batch: int = 2
    length: int = 16
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(7))

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The parameters of the function, without self and the catch-all ones."""
        return parameters_of(self.function)

    def parts(self) -> list[tuple[str, Any]]:
        """All configs with their dotted paths, the outermost first."""
        found, waiting = [], [("", self.config)]
        while waiting:
            path, config = waiting.pop(0)
            found.append((path, config))
            waiting += [(f"{path}.{n}", part) for n, part in vars(config).items() if hasattr(part, "to_diff_dict")]
        return found

    def find(self, *names: str, prefer: tuple[str, ...] = (), default: Any = None) -> Any:
        """Return the first value that is set under one of ``names``; parts whose path has a preferred word first."""
        parts = self.parts()
        ordered = [p for p in parts if any(word in p[0] for word in prefer)] + parts
        for name in names:
            for _, config in ordered:
                value = getattr(config, name, None)
                if value is not None and not callable(value):
                    return value
        return default

    def number(self, *names: str, prefer: tuple[str, ...] = (), default: int) -> int:
        """Return ``find`` as one number; of a list the first item, of a mapping the first value."""
        value = self.find(*names, prefer=prefer, default=default)
        if isinstance(value, dict):
            value = next(iter(value.values()))
        while isinstance(value, list | tuple):
            value = value[0]
        return int(value)

    def special_tokens(self) -> set[int]:
        """Every id that some part of the config gives a meaning."""
        found: set[int] = set()
        for _, config in self.parts():
            for name, value in vars(config).items():
                if fields.TOKEN.search(name):
                    found |= {item for item in (value if isinstance(value, list | tuple) else [value]) if _is_int(item)}
        return found

    def normal(self, *shape: int) -> torch.Tensor:
        """Return float32 numbers of order one."""
        return torch.randn(shape, generator=self.generator)

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """Return int64 numbers in [low, high)."""
        return torch.randint(low, max(high, low + 1), shape, generator=self.generator)

    def tokens(self, *shape: int, vocabulary: int | None = None) -> torch.Tensor:
        """Return ids without a special meaning."""
        size = vocabulary or self.number("vocab_size", "text_vocab_size", prefer=TEXT, default=100)
        special = self.special_tokens()
        plain = [token for token in range(min(4, size - 1), min(size, 128)) if token not in special] or [0]
        return torch.tensor(plain)[self.integers(0, len(plain), *shape)]


def parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """Return the named parameters of a function, without self and the catch-all ones."""
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and name != "self"
    }


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
