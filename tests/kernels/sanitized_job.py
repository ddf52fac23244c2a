"""What test_cpu_memory.py runs under AddressSanitizer: every loop of the extension on arrays without a byte to spare.

argv: the extension; a planted fault, which is the array that lacks its last element ("out", "x", "grad", "none"); the
number of activations; the bytes of each element type. No torch: its allocator rounds sizes up, and it would be
searched, too. Prints the number of runs at each level.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import json
import sys

LIBC = ctypes.CDLL(None)
LIBC.malloc.argtypes, LIBC.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
LIBC.free.argtypes = [ctypes.c_void_p]

DIRECTIONS = 2  # values and slopes, of source/kernels.h
ARRAYS = ("out", "x", "grad")
# Whole steps of each level and all that is left over from one; split over threads from 16384 on.
LENGTHS = (*range(70), 129, 1000, 16384, 16385, 20001)


def native(path: str):
    spec = importlib.util.spec_from_file_location("_native", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    openmp = ctypes.CDLL("libgomp.so.1")
    entries = (openmp.GOMP_parallel, openmp.omp_get_thread_num, openmp.omp_get_num_threads)
    module.use_openmp(*(ctypes.cast(entry, ctypes.c_void_p).value for entry in entries))
    return module


def run(module, loop: tuple[int, int, int, int], size: int, n: int, short: str) -> None:
    """Run the loop of (level, activation, element type, direction) once, on elements of so many bytes."""
    counts = [max(0, n - 1) if name == short else n for name in ARRAYS]
    arrays = [LIBC.malloc(count * size) for count in counts]
    try:
        for array, count in zip(arrays[1:], counts[1:], strict=True):
            ctypes.memset(array, 0x3C, count * size)
        out, x, grad = arrays
        module.run(*loop, out, x, grad, n, 3)
    finally:
        for array in arrays:
            LIBC.free(array)


def main(path: str, short: str, n_activations: str, *sizes: str) -> None:
    module, runs = native(path), {}
    for name, level in module.levels().items():
        loops = itertools.product([level], range(int(n_activations)), range(len(sizes)), range(DIRECTIONS))
        every = list(itertools.product(loops, LENGTHS))
        for loop, n in every:
            run(module, loop, int(sizes[loop[2]]), n, short)
        runs[name] = len(every)
    print(json.dumps(runs))


if __name__ == "__main__":
    main(*sys.argv[1:])
