"""The device under test, a GPU or with ``--quick`` the CPU in its place: clocks, memory, what it can do at best."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Run = Callable[[], object]
Json = dict[str, Any]

MIB = 2**20
TOKENS = 8192  # of a batch, unless a piece says otherwise


@dataclass
class Bench:
    """``quick``: tiny sizes on the CPU, whose numbers mean nothing. ``until``: no further piece begins after that."""

    quick: bool
    until: float
    rounds: int
    device: str = field(init=False)

    def __post_init__(self) -> None:
        self.device = "cpu" if self.quick else "cuda"

    def size(self, real: int, tiny: int) -> int:
        """Return ``real``, or ``tiny`` with --quick."""
        return tiny if self.quick else real

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.until - time.monotonic()

    def randn(self, *shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        """Return normally distributed numbers on the device."""
        return torch.randn(shape, device=self.device, dtype=torch.float32).to(dtype)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, run: Run, calls: int) -> float:
        """Return the seconds of one call: by the device's own clock, over ``calls`` of them."""
        if self.device != "cuda":
            started = time.perf_counter()
            for _ in range(calls):
                run()
            return (time.perf_counter() - started) / calls
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(calls):
            run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / calls

    def sample(self, arms: Mapping[str, Run], *, seconds: float = 0.02) -> dict[str, list[float]]:
        """Run every arm in each round, in an order drawn anew; return seconds a call. Each sample takes ``seconds``."""
        calls = {}
        for name, run in arms.items():
            for _ in range(1 if self.quick else 3):
                run()
            self.synchronize()
            calls[name] = 1 if self.quick else max(1, min(200, round(seconds / max(self.seconds(run, 2), 1e-6))))
        samples: dict[str, list[float]] = {name: [] for name in arms}
        order, shuffle = list(arms), random.Random(0).shuffle
        gc.collect()
        for _ in range(self.rounds):
            shuffle(order)
            for name in order:
                self.synchronize()
                samples[name].append(round(self.seconds(arms[name], calls[name]), 10))
        return samples

    def peak(self, run: Run) -> int | None:
        """Return by how many bytes the memory in use rises during one call; None where nobody counts."""
        if self.device != "cuda":
            return None
        run()
        torch.cuda.synchronize()
        gc.collect()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)


def ceilings(bench: Bench) -> Json:
    """Measure what bounds everything: bytes a second of a copy, operations a second of a product."""
    n = bench.size(2**28, 2**12)
    side = bench.size(8192, 64)
    source = bench.randn(n)
    target = torch.empty_like(source)
    a, b = bench.randn(side, side), bench.randn(side, side)
    samples = bench.sample({"copy": lambda: target.copy_(source), "product": lambda: a @ b})
    return {
        "samples": samples,
        "notes": {
            "copy, bytes per second": 2 * source.nbytes / min(samples["copy"]),
            "product, operations per second": 2 * side**3 / min(samples["product"]),
        },
    }


def description(bench: Bench) -> Json:
    """Say which GPU this is, and with which versions."""
    found: Json = {"device": bench.device, "cuda": torch.version.cuda}
    try:
        import triton

        found["triton"] = triton.__version__
    except ImportError:
        found["triton"] = None
    if bench.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "name": properties.name,
            "architecture": f"sm_{properties.major}{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "l2_mib": round(getattr(properties, "L2_cache_size", 0) / MIB, 1),
        }
    return found
