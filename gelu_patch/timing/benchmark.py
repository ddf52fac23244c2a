"""The verb ``benchmark``: stock against patched, on one model, in one session."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import nn

from gelu_patch.errors import Interrupted, UnknownName, UsageError
from gelu_patch.memory import DEFAULT, Memory, checked
from gelu_patch.patching.selectors import target_name
from gelu_patch.patching.shells import shell_of
from gelu_patch.timing.analysis import MARGIN
from gelu_patch.timing.arms import without_activations
from gelu_patch.timing.handover import saved
from gelu_patch.timing.inputs import Inputs, default_shapes
from gelu_patch.timing.job import DTYPES, Job, device_of
from gelu_patch.timing.processes import NotSendable
from gelu_patch.timing.result import Benchmark
from gelu_patch.timing.session import OnProgress, Session
from gelu_patch.timing.shapes import Shape, check_phases
from gelu_patch.timing.tasks import Describe
from gelu_patch.timing.workloads import NEW_TOKENS

MAX_SECONDS = 120.0
N_PAIRS = 100


def benchmark(
    model: nn.Module,
    to: Iterable[str] = ("gelu_fused",),
    *,
    shapes: Sequence[Shape] | None = None,
    phases: Sequence[str] = ("forward",),
    n_pairs: int = N_PAIRS,
    max_pairs: int | None = None,
    max_seconds: float = MAX_SECONDS,
    processes: int = 3,
    dtype: str | None = None,
    threads: int | None = None,
    compiled: bool = False,
    memory: Memory = DEFAULT,
    margin: float = MARGIN,
    seed: int = 0,
    new_tokens: int = NEW_TOKENS,
    inputs: Callable[[Shape], Inputs] | None = None,
    on_progress: OnProgress | None = None,
) -> Benchmark:
    """Measure ``model`` as it is and with each target of ``to``, at every shape ``(batch, length)`` and phase.

    Time is measured interleaved with an A/A control (``timing.latency``) in ``processes`` fresh processes, each with
    ``n_pairs`` pairs, or as many as ``max_seconds`` for a shape and phase allow; more pairs (up to ``max_pairs`` a
    process, default ten times ``n_pairs``) and more processes follow while the control is wider than ``margin`` needs.
    Peak and saved memory are measured in processes of their own, energy where it can be read. Phases are ``forward``,
    ``forward_backward`` and ``generate`` (``new_tokens`` tokens). ``compiled`` adds ``torch.compile`` beside every arm.
    ``inputs`` makes the model's inputs for a shape (default: random tokens, pixels or sound).

    The model is handed to the processes as a temporary file; one that cannot be pickled or read there (a lambda in it,
    a class or activation that only this script knows), and any with ``processes=1``, is measured in this process,
    without peaks of memory; ``n_processes`` and ``warnings`` say so. ``model`` is not changed.

    Raises UsageError for shapes, phases or numbers that cannot be meant, UnknownName for an unknown target,
    NothingToPatch for a model without GELU, UnsupportedModel when no inputs can be made, EnvironmentProblem when memory
    runs out, Interrupted on Ctrl-C (its ``partial`` has what was measured).
    """
    device = str(device_of(model))
    without_activations(model)
    job = Job(
        load=_Copy(model, dtype),
        targets=checked_targets(to),
        shapes=_checked_shapes(shapes) if shapes is not None else default_shapes(model),
        phases=check_phases(tuple(phases)),
        device=device,
        dtype=dtype,
        threads=threads,
        compiled=compiled,
        memory=checked(memory),
        n_pairs=n_pairs,
        max_pairs=max_pairs or 10 * n_pairs,
        max_seconds=max_seconds,
        processes=processes,
        margin=margin,
        seed=seed,
        new_tokens=new_tokens,
    )
    check_numbers(job)
    if inputs is not None and job.shapes is not None:
        job = replace(job, inputs={shape: inputs(shape) for shape in job.shapes})
    job.cells(model)
    return require_whole(_measured(model, job, on_progress))


def _measured(model: nn.Module, job: Job, on_progress: OnProgress | None) -> Benchmark:
    if job.processes == 1:
        return measure(job, on_progress=on_progress, fresh=False)
    try:
        with saved(model) as load:
            return measure(replace(job, load=load), on_progress=on_progress)
    except (NotSendable, UnknownName) as error:
        # UnknownName: known here (the job was checked), so it was registered by this script.
        found = measure(replace(job, processes=1), on_progress=on_progress, fresh=False)
        reason = error.why if isinstance(error, NotSendable) else error.what
        found.warnings.append(f"measured in one process, not in {job.processes} fresh ones: {reason}")
        return found


def measure(
    job: Job, *, describe: Describe | None = None, on_progress: OnProgress | None = None, fresh: bool = True
) -> Benchmark:
    """Run a job and return what was measured; ``interrupted`` is true when Ctrl-C ended it early."""
    session = Session(job, describe=describe, fresh=fresh, **({"on_progress": on_progress} if on_progress else {}))
    threads = torch.get_num_threads()
    try:
        return Benchmark(job, session.run())
    finally:
        if not fresh and job.threads is not None:
            torch.set_num_threads(threads)


def require_whole(found: Benchmark) -> Benchmark:
    """Return a measurement that was not stopped. Raises Interrupted, which keeps what there is as ``partial``."""
    if found.interrupted:
        error = Interrupted(
            "the measurement was stopped",
            why=f"kept: {found.summary}",
            next_step="run it again, with fewer --shapes or --pairs",
        )
        error.partial = found  # type: ignore[attr-defined]
        raise error
    return found


def checked_targets(to: Iterable[str]) -> tuple[str, ...]:
    """Return the targets, each once. Raises UnknownName, UsageError when there is none."""
    names = (to,) if isinstance(to, str) else tuple(to)
    targets = tuple(dict.fromkeys(target_name(name) for name in names))
    if not targets:
        raise UsageError("there is no target to measure", next_step="--to gelu_fused")
    return targets


def check_numbers(job: Job) -> None:
    """Raise UsageError for a number of pairs, processes, threads, tokens or seconds that cannot be meant."""
    wrong = [
        (name, value, least)
        for name, value, least in (
            ("pairs", job.n_pairs, 2),
            ("processes", job.processes, 1),
            ("threads", job.threads or (1 if job.threads is None else 0), 1),
            ("new_tokens", job.new_tokens, 1),
        )
        if value < least
    ]
    for name, value, least in wrong:
        raise UsageError(
            f"--{name} {value} cannot be meant", why=f"it is at least {least}", next_step=f"--{name} {least}"
        )
    if not (job.max_seconds > 0 and 0 < job.margin < 1) or math.isnan(job.max_seconds):
        raise UsageError(
            "a measurement needs time and a margin",
            why=f"max_seconds is {job.max_seconds}, margin {job.margin}",
            next_step="max_seconds=120, margin=0.02",
        )
    if job.dtype is not None and job.dtype not in DTYPES:
        raise UnknownName.of("dtype", job.dtype, DTYPES)


def _checked_shapes(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    if not shapes or any(min(shape) < 1 for shape in shapes):
        raise UsageError("benchmark needs at least one shape (batch, length)", next_step="shapes=[(8, 128)]")
    return tuple(dict.fromkeys((int(batch), int(length)) for batch, length in shapes))


class _Copy:
    """Gives the live model to measurements in this process: as a shell, or as a copy when its dtype will change."""

    def __init__(self, model: nn.Module, dtype: str | None) -> None:
        self.model = model
        self.dtype = dtype

    def __call__(self) -> nn.Module:
        return shell_of(self.model) if self.dtype is None else copy.deepcopy(self.model)
