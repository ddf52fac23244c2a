"""Launching the programs over the memory of tensors. All tensors are dense, of one shape, stride, dtype and device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import triton

from gelu_patch.kernels.triton import programs

# Whether the programs run in Triton's interpreter, on the CPU: said by TRITON_INTERPRET=1 before triton is imported.
INTERPRETED = not isinstance(programs.forward, triton.JITFunction)

# Blocks by rule, not by trial: four warps with a 16-byte access (bfloat16) per thread and tensor.
BLOCK, WARPS = 1024, 4
# For column sums: parts of 64 rows, four at a time, of 256 columns: the same 1024 elements.
ROWS, STEP, COLUMNS = 64, 4, 256
# The interpreter takes as long for a program of few elements as for one of many.
_INTERPRETED_BLOCK = 1 << 16

# Said on every launch, because Triton's default is going to change and costs a fifth of the instructions.
OPTIONS: dict[str, int] = {"num_warps": WARPS, "enable_fp_fusion": True}


def forward(form: str, out: torch.Tensor, x: torch.Tensor, bias: torch.Tensor | None = None) -> None:
    """Fill ``out`` with f(x + bias); ``bias`` of as many elements as x has columns. ``out`` may be ``x``."""
    columns = x.shape[-1] if bias is not None else 1
    _flat(programs.forward, form, x, out, x, x if bias is None else bias, x.numel(), columns, BIAS=bias is not None)


def backward(form: str, out: torch.Tensor, x: torch.Tensor, grad: torch.Tensor) -> None:
    """Fill ``out`` with grad * f'(x). ``out`` may be one of the inputs."""
    _flat(programs.backward, form, x, out, x, grad, x.numel())


def backward_with_sums(
    form: str,
    out: torch.Tensor,
    x: torch.Tensor,
    grad: torch.Tensor,
    bias: torch.Tensor | None = None,
    again: torch.Tensor | None = None,
) -> torch.Tensor:
    """Fill ``out`` with dz = grad * f'(x + bias) and ``again`` with f(x + bias); return the column sums of dz.

    All contiguous, seen as ``(rows, columns)``; the sums are of x's dtype, from float32 sums in a fixed order.
    """
    columns = x.shape[-1]
    rows = x.numel() // columns
    rows_of_a_part = ROWS if not INTERPRETED else max(ROWS, STEP * triton.cdiv(rows, STEP))
    step = STEP if not INTERPRETED else triton.next_power_of_2(rows_of_a_part)
    rows_of_a_part = triton.cdiv(rows_of_a_part, step) * step
    parts = torch.empty(triton.cdiv(rows, rows_of_a_part), columns, dtype=torch.float32, device=x.device)
    _launch(
        programs.backward_with_sums,
        (len(parts) * triton.cdiv(columns, COLUMNS),),
        x,
        (out, x if again is None else again, parts, x, x if bias is None else bias, grad, rows, columns),
        FORM=form,
        EVEN=rows % rows_of_a_part == 0 and columns % COLUMNS == 0,
        BIAS=bias is not None,
        AGAIN=again is not None,
        ROWS=rows_of_a_part,
        STEP=step,
        COLUMNS=COLUMNS,
    )
    return parts.sum(0, dtype=torch.float32).to(x.dtype)


def gated_forward(form: str, out: torch.Tensor, gate: torch.Tensor, other: torch.Tensor) -> None:
    """Fill ``out`` with f(gate) * other. ``out`` may be one of the inputs."""
    _flat(programs.gated_forward, form, gate, out, gate, other, gate.numel())


def gated_backward(
    form: str,
    by_gate: torch.Tensor,
    by_other: torch.Tensor,
    gate: torch.Tensor,
    other: torch.Tensor,
    grad: torch.Tensor,
) -> None:
    """Fill ``by_gate`` with grad * other * f'(gate), ``by_other`` with grad * f(gate)."""
    _flat(programs.gated_backward, form, gate, by_gate, by_other, gate, other, grad, gate.numel())


def _flat(program: Any, form: str, x: torch.Tensor, *arguments: Any, **constants: Any) -> None:
    n = x.numel()
    if n == 0:
        return
    block = BLOCK if not INTERPRETED else min(_INTERPRETED_BLOCK, triton.next_power_of_2(n))
    _launch(program, (triton.cdiv(n, block),), x, arguments, FORM=form, EVEN=n % block == 0, BLOCK=block, **constants)


def _launch(program: Any, grid: tuple[int, ...], x: torch.Tensor, arguments: tuple[Any, ...], **constants: Any) -> None:
    with _on_device_of(x):
        program[grid](*arguments, WIDE=x.dtype == torch.float32, NATIVE=not INTERPRETED, **constants, **OPTIONS)


_nothing: Callable[[], Any] = nullcontext


def _on_device_of(x: torch.Tensor) -> Any:
    """Triton launches on the current device, whatever the tensors say."""
    if INTERPRETED or x.get_device() == torch.cuda.current_device():
        return _nothing()
    return torch.cuda.device(x.device)
