"""When a run writes checkpoints, and from which one it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gelu_patch.errors import DataNotFound, GeluPatchError
from gelu_patch.training.checkpoints import FEWEST_KEPT, Checkpoint, Checkpoints, Content, checkpoint_at
from gelu_patch.training.identity import check_same_run
from gelu_patch.training.log import StepRecord
from gelu_patch.training.processes import Processes

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Start:
    """Where a run begins: at the first step, or after those of a checkpoint.

    ``notes`` are sentences for the user: which checkpoint it is, and which were no good and why.
    """

    checkpoint: Checkpoint | None = None
    records: tuple[StepRecord, ...] = ()
    scores: tuple[float, ...] = ()
    scaler: Mapping[str, Any] = field(default_factory=dict)
    log: bytes = b""
    notes: tuple[str, ...] = ()


@dataclass
class Saving:
    """Checkpoints in ``directory`` after every so many steps or every epoch, the newest ``keep`` of them.

    A run goes on from the newest usable one there, or, with ``source``, from the one given: a checkpoint, or a
    directory that holds some, and then there must be one.
    """

    directory: Path
    every: int | Literal["epoch"] = "epoch"
    keep: int = FEWEST_KEPT
    source: Path | None = None
    _start: Start | None = None

    def start(self, identity: Mapping[str, Any], processes: Processes) -> Start:
        """Return where to begin; the answer is kept.

        Raises UsageError when the checkpoints are of another run than ``identity``, DataNotFound when a given
        ``source`` has none, DataError when a given checkpoint is damaged.
        """
        if self._start is None:
            found, notes = processes.first_only(self._find)
            self._start = Start(notes=notes) if found is None else _begin_after(found, notes, identity, processes)
        return self._start

    def is_due(self, step: int, *, ends_epoch: bool) -> bool:
        """Whether a checkpoint should be written after ``step``."""
        return ends_epoch if self.every == "epoch" else step % self.every == 0

    def write(self, step: int, content: Content) -> None:
        """Write one; see ``Checkpoints.write``."""
        Checkpoints(self.directory, self.keep).write(step, content)

    def _find(self) -> tuple[Checkpoint | None, tuple[str, ...]]:
        if self.source is not None and (self.source / "state.json").exists():
            found = checkpoint_at(self.source)
            return found, (_going_on(found),)
        if self.source is not None and not self.source.is_dir():
            raise DataNotFound(f"there is no checkpoint at {self.source}", next_step="--resume_from_checkpoint RUN")
        nested = self.source is not None and (self.source / CHECKPOINTS).is_dir()
        directory = self.directory if self.source is None else self.source / CHECKPOINTS if nested else self.source
        checkpoints = Checkpoints(directory)
        newest = checkpoints.newest()
        notes = [f"the checkpoint {path.name} is not used: {reason}" for path, reason in checkpoints.skipped.items()]
        if newest is not None:
            return newest, (*notes, _going_on(newest))
        if self.source is not None:
            raise DataNotFound(
                f"there is no usable checkpoint in {directory}",
                why="; ".join(notes) or "it holds no directory step_N",
                next_step="run without --resume_from_checkpoint to begin at the first step",
            )
        return None, (*notes, "no checkpoint can be used: the run begins anew") if notes else ()


def _going_on(checkpoint: Checkpoint) -> str:
    return f"the run goes on after step {checkpoint.step}, from {checkpoint.path}"


def _begin_after(
    checkpoint: Checkpoint, notes: tuple[str, ...], identity: Mapping[str, Any], processes: Processes
) -> Start:
    problem = None
    try:
        if not processes.is_first:  # its own copy of the file system may be another one
            checkpoint.check()
        state = checkpoint.state()
        check_same_run(state["run"], identity, checkpoint.path)
    except GeluPatchError as error:
        problem = error
    if (first := next(filter(None, processes.all_say(problem)), None)) is not None:
        raise first
    log = checkpoint.log()
    return Start(
        checkpoint=checkpoint,
        records=tuple(map(StepRecord.from_json, log.splitlines())),
        scores=tuple(state["scores"]),
        scaler=state["scaler"],
        log=log,
        notes=notes,
    )
