"""What test_cpu_memory.py runs under AddressSanitizer: every loop of the extension on arrays without a byte to spare.

argv: the extension, and a planted fault: which array lacks its last element, of "out", "x", "grad", "none". No torch:
its allocator rounds sizes up, and it would be searched, too.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import sys

LIBC = ctypes.CDLL(None)
LIBC.malloc.argtypes, LIBC.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
LIBC.free.argtypes = [ctypes.c_void_p]

# Of source/kernels.h: activations, bytes of each element type, directions.
ACTIVATIONS, SIZES, DIRECTIONS = 5, (4, 2, 2), 2
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


def run(module, level: int, loop: tuple[int, int, int], n: int, short: str) -> None:
    activation, element, direction = loop
    counts = [max(0, n - 1) if name == short else n for name in ARRAYS]
    arrays = [LIBC.malloc(count * SIZES[element]) for count in counts]
    try:
        for array, count in zip(arrays[1:], counts[1:], strict=True):
            ctypes.memset(array, 0x3C, count * SIZES[element])
        out, x, grad = arrays
        module.run(level, activation, element, direction, out, x, grad if direction else 0, n, 3)
    finally:
        for array in arrays:
            LIBC.free(array)


def main(path: str, short: str) -> None:
    module = native(path)
    loops = list(itertools.product(range(ACTIVATIONS), range(len(SIZES)), range(DIRECTIONS)))
    for level in module.levels().values():
        for loop, n in itertools.product(loops, LENGTHS):
            run(module, level, loop, n, short)
    print(len(module.levels()) * len(loops) * len(LENGTHS), "runs")


if __name__ == "__main__":
    main(*sys.argv[1:])
