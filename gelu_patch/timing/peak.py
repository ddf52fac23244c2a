"""Peak memory of one arm, in a process that runs nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import torch
from torch import nn

from gelu_patch.patching import patch_model
from gelu_patch.reporting.schema import Memory, Subject
from gelu_patch.reporting.storage.timings import STOCK, Cell
from gelu_patch.timing.arms import without_activations
from gelu_patch.timing.devices import synchronize
from gelu_patch.timing.failures import explained
from gelu_patch.timing.job import Job, device_of
from gelu_patch.timing.memory import measure_saved
from gelu_patch.timing.shapes import Shape
from gelu_patch.timing.workloads import runner

_RUNS = 3  # the second run meets gradients and workspaces that the first one left


def measure_memory(
    job: Job,
    arm: str,
    describe: Callable[[nn.Module], Subject] | None,
    entering: Callable[[Cell], None],
    *,
    alone: bool = True,
) -> tuple[list[Memory], list[Memory], Subject | None]:
    """Return the memory of ``arm`` (``stock`` or a target), for stock also that of the limit, and the arm's subject.

    Small cells come first: where the peak of a process cannot be reset, a later one is at least as large. What is
    saved for backward is counted in ``forward_backward``, and at the largest shape also when that is not a phase of the
    job; of the limit nothing else is. Without ``alone``, when other work shares the process, there are no peaks.
    """
    start = resident("VmRSS")
    model = job.model()
    if arm != STOCK:
        patch_model(model, arm, memory=job.memory)
    cells = sorted(job.cells(model), key=lambda cell: (cell.phase != "forward", cell.shape[0] * cell.shape[1]))
    weights = weights_bytes(model)
    peaks = {}
    for cell in cells if alone else ():
        entering(cell)
        with explained(cell, arm):
            peaks[cell] = _peak(job, model, cell)
    trained = [cell for cell in cells if cell.phase == "forward_backward"]
    trained = trained or [Cell(_largest(cells), "forward_backward")]
    saved = {}
    for cell in trained:
        with explained(cell, arm):
            saved[cell] = measure_saved(model, job.inputs_for(model, cell.shape), cell.shape)
    found = [
        _entry(cell, weights, peaks.get(cell, {}), saved.get(cell), start) for cell in dict.fromkeys((*peaks, *saved))
    ]
    limits = list(_saved_by_limit(job, model, trained)) if arm == STOCK else []
    return found, limits, describe(model) if describe is not None else None


def _saved_by_limit(job: Job, model: nn.Module, cells: list[Cell]) -> Iterator[Memory]:
    limit, _ = without_activations(model)
    for cell in cells:
        with explained(cell, "no activation"):
            yield measure_saved(limit, job.inputs_for(model, cell.shape), cell.shape)


def _largest(cells: list[Cell]) -> Shape:
    return max((cell.shape for cell in cells), key=lambda shape: shape[0] * shape[1])


def _peak(job: Job, model: nn.Module, cell: Cell) -> dict[str, int | None]:
    run = runner(model, job.inputs_for(model, cell.shape), cell.phase, new_tokens=job.new_tokens)  # type: ignore[arg-type]
    device = device_of(model)
    _reset_peak(device)
    for _ in range(_RUNS):
        run()
    synchronize(device)
    found: dict[str, int | None] = {"host_peak_rss_bytes": resident("VmHWM")}
    if device.type == "cuda":
        found["device_peak_bytes"] = torch.cuda.max_memory_allocated(device)
        found["device_reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    return found


def _entry(cell: Cell, weights: int, peaks: dict[str, int | None], saved: Memory | None, start: int | None) -> Memory:
    entry = (saved or Memory(phase=cell.phase, shape=cell.shape)).model_copy(
        update={"weights_bytes": weights, **peaks, **({"host_start_rss_bytes": start} if peaks else {})}
    )
    entry.other_bytes = _other(entry)
    return entry


def _other(entry: Memory) -> int | None:
    """What the peak holds beside weights and saved tensors; None where it was not measured."""
    known = (entry.weights_bytes or 0) + (entry.saved_for_backward_bytes or 0)
    if entry.device_peak_bytes is not None:
        return max(0, entry.device_peak_bytes - known)
    if entry.host_peak_rss_bytes is None or entry.host_start_rss_bytes is None:
        return None
    return max(0, entry.host_peak_rss_bytes - entry.host_start_rss_bytes - known)


def weights_bytes(model: nn.Module) -> int:
    """Return the bytes of all parameters and buffers; a storage that several share counts once."""
    tensors = chain(model.parameters(), model.buffers())
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def resident(field: str, status: Path = Path("/proc/self/status")) -> int | None:
    """Return ``VmRSS`` (now) or ``VmHWM`` (peak) of this process in bytes; None where there is no /proc."""
    try:
        found = re.search(rf"^{field}:\s*(\d+) kB$", status.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        # Linux: sets VmHWM to VmRSS.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
