"""What runs on the GPU. Offsets of elements are 64-bit; sums are float32, in an order that only the sizes decide.

Everywhere: ``FORM``, ``WIDE``, ``NATIVE`` as in ``formulas.py``; ``EVEN`` when there is no ragged end, so that nothing
is masked.
"""

import triton
import triton.language as tl

from gelu_patch.kernels.triton.formulas import slope, value


@triton.jit
def _load(pointer, here, inside, EVEN: tl.constexpr):
    if EVEN:
        return tl.load(pointer + here).to(tl.float32)
    else:
        return tl.load(pointer + here, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store(pointer, here, numbers, inside, EVEN: tl.constexpr):
    numbers = numbers.to(pointer.dtype.element_ty)
    if EVEN:
        tl.store(pointer + here, numbers)
    else:
        tl.store(pointer + here, numbers, mask=inside)


@triton.jit
def forward(
    out, x, bias, n, columns,
    FORM: tl.constexpr, WIDE: tl.constexpr, NATIVE: tl.constexpr, EVEN: tl.constexpr,
    BIAS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = f(x + bias), over flat memory of ``n`` elements; bias, when BIAS, has ``columns``."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    here = tl.arange(0, BLOCK)
    inside = here < n - start
    z = _load(x + start, here, inside, EVEN)
    if BIAS:
        z += _load(bias, (start + here) % columns, inside, EVEN)
    _store(out + start, here, value(z, FORM, WIDE, NATIVE), inside, EVEN)


@triton.jit
def backward(
    out, x, grad, n,
    FORM: tl.constexpr, WIDE: tl.constexpr, NATIVE: tl.constexpr, EVEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = grad * f'(x), over flat memory."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    here = tl.arange(0, BLOCK)
    inside = here < n - start
    z = _load(x + start, here, inside, EVEN)
    g = _load(grad + start, here, inside, EVEN)
    _store(out + start, here, g * slope(z, FORM, WIDE, NATIVE), inside, EVEN)


@triton.jit
def backward_with_sums(
    out, again, sums, x, bias, grad, rows, columns,
    FORM: tl.constexpr, WIDE: tl.constexpr, NATIVE: tl.constexpr, EVEN: tl.constexpr,
    BIAS: tl.constexpr, AGAIN: tl.constexpr, ROWS: tl.constexpr, STEP: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """out = grad * f'(x + bias) of ``(rows, columns)``; sums[i] = its column sums over the i-th ROWS rows, float32.

    When AGAIN, also again = f(x + bias), from the same read of x.
    """
    blocks = tl.cdiv(columns, COLUMNS)  # in one dimension, because the second one of a grid ends at 65535
    part = tl.program_id(0) // blocks
    column = (tl.program_id(0) % blocks) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.arange(0, STEP)
    first = part.to(tl.int64) * ROWS
    total = tl.zeros((STEP, COLUMNS), tl.float32)
    for step in range(0, ROWS, STEP):
        start = (first + step) * columns
        here = row[:, None] * columns + column[None, :]
        inside = (first + step + row < rows)[:, None] & (column < columns)[None, :]
        z = _load(x + start, here, inside, EVEN)
        if BIAS:
            z += _load(bias, column, column < columns, EVEN)[None, :]
        g = _load(grad + start, here, inside, EVEN)
        factor = slope(z, FORM, WIDE, NATIVE)
        total = tl.fma(g, factor, total)
        _store(out + start, here, g * factor, inside, EVEN)
        if AGAIN:
            _store(again + start, here, value(z, FORM, WIDE, NATIVE), inside, EVEN)
    _store(sums + part.to(tl.int64) * columns, column, tl.sum(total, axis=0), column < columns, EVEN)


@triton.jit
def gated_forward(
    out, gate, other, n,
    FORM: tl.constexpr, WIDE: tl.constexpr, NATIVE: tl.constexpr, EVEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = f(gate) * other, over flat memory."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    here = tl.arange(0, BLOCK)
    inside = here < n - start
    g = _load(gate + start, here, inside, EVEN)
    u = _load(other + start, here, inside, EVEN)
    _store(out + start, here, value(g, FORM, WIDE, NATIVE) * u, inside, EVEN)


@triton.jit
def gated_backward(
    by_gate, by_other, gate, other, grad, n,
    FORM: tl.constexpr, WIDE: tl.constexpr, NATIVE: tl.constexpr, EVEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """by_gate = grad * other * f'(gate), by_other = grad * f(gate), over flat memory."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    here = tl.arange(0, BLOCK)
    inside = here < n - start
    g = _load(gate + start, here, inside, EVEN)
    u = _load(other + start, here, inside, EVEN)
    d = _load(grad + start, here, inside, EVEN)
    _store(by_other + start, here, d * value(g, FORM, WIDE, NATIVE), inside, EVEN)
    _store(by_gate + start, here, d * u * slope(g, FORM, WIDE, NATIVE), inside, EVEN)
