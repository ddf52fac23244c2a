"""Is it fast, and does it save memory? Interleaved latency with an A/A control, memory, energy, and the limit."""

from gelu_patch.timing.arms import STOCK, arms_of
from gelu_patch.timing.benchmark import benchmark, measure
from gelu_patch.timing.memory import measure_saved
from gelu_patch.timing.result import Benchmark

__all__ = ["STOCK", "Benchmark", "arms_of", "benchmark", "measure", "measure_saved"]
