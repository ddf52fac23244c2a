"""A run on disk: ``report.json`` and its companions."""

from __future__ import annotations

import json
import math
import shutil
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from gelu_patch.errors import DataError, DataNotFound, InvalidMeasurement, OutputExists
from gelu_patch.reporting.schema import SCHEMA_VERSION, Report
from gelu_patch.reporting.storage.drift import Drift
from gelu_patch.reporting.storage.files import make_directory, writable, write_text
from gelu_patch.reporting.storage.lock import refuse_running
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.reporting.storage.timings import TIMINGS

REPORT = "report.json"
MARKDOWN = "report.md"
HTML = "report.html"
PREDICTIONS = "predictions.parquet"
NOISE = "predictions_noise.parquet"
DRIFT = "drift.parquet"
POLICY = "policy.json"
TRAINING_LOG = "training_log.jsonl"
CONFIG = "config.yaml"
EVALUATION = "evaluation.yaml"  # of an evaluation in the folder of a training run
ENVIRONMENT = "env.json"
RUN_LOG = "run.log"
PARTIAL = "predictions_partial.parquet"
SHARDS = "shards"
MODEL = "model"
COMPARE = "compare"

# What a run replaces when it takes a folder; the model of a training run is written beside and renamed.
FILES = (
    REPORT, MARKDOWN, HTML, PREDICTIONS, NOISE, DRIFT, PARTIAL, TIMINGS, POLICY, TRAINING_LOG, CONFIG,
    EVALUATION, ENVIRONMENT, RUN_LOG,
)  # fmt: skip


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


class _NotFinite(Exception):
    """A number in a report is NaN or infinite."""


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotFinite(text)
    return number


class RunFolder:
    """A run folder; cheap to make, reads lazily."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def check_free(self, *, overwrite: bool = False) -> None:
        """Raise OutputExists when another run is here and not ``overwrite``; cheap, so it can be asked first."""
        if self.has_report and not overwrite:
            raise OutputExists(
                f"{self.path} already holds a run",
                why=f"{REPORT} is there, and writing into it would mix two runs",
                next_step="choose another --output_dir, or add --overwrite_output_dir to replace it",
            )

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Make an empty run folder. Raises OutputExists when another run is there and not ``overwrite``.

        What an interrupted run left behind (there is no report then) is removed.
        """
        folder = cls(path)
        folder.check_free(overwrite=overwrite)
        make_directory(folder.path)
        for name in FILES:
            for path in (folder.path / name, *folder.path.glob(f".{name}.*.tmp")):
                with writable(path):
                    path.unlink(missing_ok=True)
        shutil.rmtree(folder.path / SHARDS, ignore_errors=True)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open an existing run (its folder, or its ``report.json``). Raises DataNotFound when it is none."""
        path = Path(path)
        folder = cls(path.parent if path.name == REPORT else path)
        if not folder.has_report:
            refuse_running(folder.path)
            stopped = (folder.path / SHARDS).is_dir()
            raise DataNotFound(
                f"{folder.path} is not a finished run",
                why="an evaluation was stopped here"
                if stopped
                else f"it has no {REPORT}"
                if folder.path.is_dir()
                else "there is no such directory",
                next_step="run the same command again: it goes on where it was stopped"
                if stopped
                else "make one with `gelu-patch train ... --output_dir DIR` or `gelu-patch eval ...`",
            )
        return folder

    @property
    def has_report(self) -> bool:
        """Whether a report has been written here."""
        return (self.path / REPORT).is_file()

    @cached_property
    def report(self) -> Report:
        """The parsed report.

        Raises DataError when it is damaged or of a newer major schema, InvalidMeasurement when it holds a number that
        is NaN or infinite (which this package never writes).
        """
        path = self.path / REPORT
        try:
            raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)
            major = str(raw.get("schema_version", "")).split(".")[0]
            if major != SCHEMA_VERSION.split(".")[0]:
                raise DataError(
                    f"{path} has report schema {raw.get('schema_version')!r}",
                    why=f"this version of gelu-patch reads schema {SCHEMA_VERSION}",
                    next_step="pip install --upgrade gelu-patch",
                )
            return Report.model_validate(raw)
        except _NotFinite as error:
            raise InvalidMeasurement(
                f"{path} holds the number {error}",
                why="a metric that is NaN or infinite means nothing, and nothing is concluded from it",
                next_step="make the run again and look at its losses and logits",
            ) from error
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            raise DataError(
                f"cannot read {path}", why=str(error), next_step="the file is damaged: make the run again"
            ) from error

    @cached_property
    def predictions(self) -> Predictions:
        """The per-example predictions. Raises DataNotFound when the run has none."""
        return Predictions.load(self.path / PREDICTIONS)

    @cached_property
    def noise(self) -> Predictions | None:
        """Some of the predictions again, by the same model in other batches and threads, if they were made."""
        path = self.path / NOISE
        return Predictions.load(path) if path.exists() else None

    @cached_property
    def drift(self) -> Drift | None:
        """The hidden states of a few examples, layer by layer, if they were kept."""
        path = self.path / DRIFT
        return Drift.load(path) if path.exists() else None

    @property
    def model_path(self) -> Path:
        """Where a training run keeps its model."""
        return self.path / MODEL

    def write_report(self, report: Report) -> Path:
        """Write ``report.json`` atomically. It is written last: a run folder with a report is complete.

        Raises InvalidMeasurement when a number is NaN or infinite: JSON has no such numbers.
        """
        try:
            text = json.dumps(report.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False)
        except ValueError as error:
            raise InvalidMeasurement(
                f"a number in the report of {report.run_id} is NaN or infinite",
                where=self.path / REPORT,
                why="the model or the measurement broke down, and no metric means anything then",
                next_step="look at the losses and the logits of this run",
            ) from error
        self.__dict__.pop("report", None)
        return write_text(self.path / REPORT, text + "\n")

    def write_predictions(self, predictions: Predictions) -> Path:
        """Write ``predictions.parquet`` atomically."""
        self.__dict__.pop("predictions", None)
        return predictions.save(self.path / PREDICTIONS)

    def write_noise(self, noise: Predictions | None) -> None:
        """Write the numeric-noise arm, or remove that of an earlier evaluation."""
        self._write_or_remove("noise", NOISE, noise)

    def write_drift(self, drift: Drift | None) -> None:
        """Write the hidden states, or remove those of an earlier evaluation."""
        self._write_or_remove("drift", DRIFT, drift)

    def _write_or_remove(self, what: str, name: str, content: Predictions | Drift | None) -> None:
        self.__dict__.pop(what, None)
        if content is not None:
            content.save(self.path / name)
        else:
            with writable(self.path / name):
                (self.path / name).unlink(missing_ok=True)
