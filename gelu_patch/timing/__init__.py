"""Is it fast, and does it save memory? Interleaved latency with an A/A control, and what autograd keeps."""

from gelu_patch.timing.arms import STOCK, arms_of
from gelu_patch.timing.benchmark import Benchmark, benchmark
from gelu_patch.timing.latency import measure_latency
from gelu_patch.timing.memory import measure_saved

__all__ = ["STOCK", "Benchmark", "arms_of", "benchmark", "measure_latency", "measure_saved"]
