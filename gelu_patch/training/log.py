"""The training log: one JSON line per optimizer step, on disk as soon as the step is done."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self

from gelu_patch.errors import DataError, DataNotFound
from gelu_patch.reporting.storage.files import writable, write_with


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step, counted from 1.

    ``loss`` is the mean over the examples of the step, ``grad_norm`` is before clipping, ``learning_rate`` is
    the one used, ``epoch`` counts passes over the data, ``seconds`` is wall time. ``grad_norms`` is by group of layers,
    ``activations`` by site, at the steps where they were looked at: see ``gradients`` and ``activations``.
    """

    seed: int
    step: int
    epoch: float
    loss: float
    grad_norm: float
    learning_rate: float
    seconds: float
    grad_norms: dict[str, float] = field(default_factory=dict)
    activations: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers; a step that is not changes no weight."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)

    def to_json(self) -> str:
        """Return one line of JSON; NaN and infinity, which JSON lacks, become null with ``nonfinite`` set."""
        values: dict[str, Any] = {name: _finite_or_none(value) for name, value in asdict(self).items() if value != {}}
        return json.dumps(values if self.is_finite else {**values, "nonfinite": True}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> StepRecord:
        """Return the record of a line; null becomes NaN again."""
        return cls.from_values(json.loads(line))

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> StepRecord:
        """Return the record of a line that ``read_log`` has parsed."""
        values = {name: value for name, value in values.items() if name != "nonfinite"}
        return cls(**{name: _nan_for_none(value) for name, value in values.items()})


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite_or_none(each) for name, each in value.items()}
    return value if math.isfinite(value) else None


def _nan_for_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _nan_for_none(each) for name, each in value.items()}
    return math.nan if value is None else value


class TrainingLog:
    """Appends lines to a file; a path of None writes nothing. Use it in a ``with`` block.

    Lines of several runs follow each other in one file and are told apart by ``seed``. With ``start``, the lines of
    a run that goes on, the file begins with these, whatever is in it.
    """

    def __init__(self, path: str | Path | None, start: bytes | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._start = start
        self._file: TextIOWrapper | None = None

    def __enter__(self) -> Self:
        if self.path is not None:
            with writable(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if self._start is not None:
                    write_with(self.path, lambda file: file.write_bytes(self._start or b""))
                _drop_unfinished_line(self.path)
                self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, line: str) -> None:
        """Write one line and hand it to the operating system, so that a killed run keeps it."""
        if self._file is not None and self.path is not None:
            with writable(self.path):
                self._file.write(line + "\n")
                self._file.flush()


def _drop_unfinished_line(path: Path) -> None:
    """Cut what a killed run left after its last whole line, so that a new line does not grow onto it."""
    if path.is_file():
        content = path.read_bytes()
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a training log, oldest first.

    An unfinished last line, which a killed run may leave, is dropped. Raises DataNotFound when there is no
    log, DataError when a line before the last is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise DataNotFound(f"there is no training log at {path}", next_step="gelu-patch train ...")
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            if line:
                records.append(json.loads(line))
        except json.JSONDecodeError as error:
            # A finished file ends in a newline, so only an unfinished line can be the last of the split.
            if number == len(lines):
                break
            raise DataError(
                f"{path} is damaged", where=f"line {number}", why=error.msg, next_step="train again"
            ) from error
    return records
