"""Is a kernel right? One activation, dtype and direction of one or several kernels against float64 truth.

The truth is the registered activation's own formula or derivative in float64, at the same x (``tests/checking`` holds
it against 400 digits). Several kernels are checked over the same inputs at once, because the truth costs most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast, get_args

import numpy as np
import torch

from gelu_patch.activations.base import Activation, Array, Formula, activations
from gelu_patch.checking.inputs import Inputs, inputs_for, specials
from gelu_patch.checking.regions import regions
from gelu_patch.checking.results import DeclaredBound, Direction, KernelCheck, SpecialValue
from gelu_patch.checking.tally import Tally, Truth
from gelu_patch.checking.ulp import unit
from gelu_patch.errors import UnknownName, UsageError
from gelu_patch.kernels import Accepted, Bound, Kernel, Request, ask, kernels
from gelu_patch.kernels.base import Function

# Called with (inputs done, inputs in all).
OnProgress = Callable[[int, int], None]


def check_kernel(
    activation: str,
    kernel: str,
    dtype: torch.dtype = torch.float32,
    direction: str = "forward",
    *,
    device: str = "cpu",
    long: bool = False,
    on_progress: OnProgress | None = None,
) -> KernelCheck:
    """Compare the values ("forward") or the derivative ("backward") of a kernel with float64 truth.

    All inputs of a 16-bit type are tried, a stratified subset of the others, with ``long`` all 2^32 of float32.
    ``kept`` of the result says whether the declared bound is; it prints as a table. In float64, which is no finer
    than the truth, only the bound means something.
    Raises UnknownName for an unknown activation, kernel or direction, UsageError when the kernel rejects.
    """
    return check_kernels(activation, [kernel], dtype, direction, device=device, long=long, on_progress=on_progress)[0]


def check_kernels(
    activation: str,
    names: Iterable[str],
    dtype: torch.dtype = torch.float32,
    direction: str = "forward",
    *,
    device: str = "cpu",
    long: bool = False,
    on_progress: OnProgress | None = None,
) -> list[KernelCheck]:
    """Do what ``check_kernel`` does for several kernels over the same inputs; one result for each, in their order."""
    known = get_args(Direction)
    if direction not in known:
        raise UnknownName.of("direction", direction, known)
    one = activations.get(activation)
    parts = regions(one, direction)
    tries = [_Try(kernels.get(name), one, dtype, cast(Direction, direction), device) for name in names]
    inputs = inputs_for(dtype, tuple(part.low for part in parts[1:]), long=long)
    truth_at = _quietly(one.formula if direction == "forward" else one.derivative)
    started = time.perf_counter()
    _run(tries, inputs, truth_at, one.kinks if direction == "backward" else (), on_progress)
    return [each.result(inputs, time.perf_counter() - started, truth_at) for each in tries]


def _quietly(formula: Formula) -> Formula:
    def truth_at(x: Array) -> Array:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # at the extremes, where inf is the truth
            return formula(x)

    return truth_at


class _Try:
    """One kernel under test."""

    def __init__(
        self, kernel: Kernel, activation: Activation, dtype: torch.dtype, direction: Direction, device: str
    ) -> None:
        answer = ask(kernel, Request(activation.name, device, dtype))
        if not isinstance(answer, Accepted):
            raise UsageError(
                f"kernel {kernel.name!r} does not compute {activation.name!r} on {device} in {dtype}",
                why=answer.reason,
                next_step=answer.next_step or "gelu-patch doctor says which kernels there are",
            )
        self.kernel, self.activation, self.note = kernel, activation, answer.note
        self.dtype, self.direction, self.device = dtype, direction, device
        declared = kernel.bound if direction == "forward" else kernel.gradient_bound
        self.bound: Bound = declared(activation.name, dtype)
        self.function: Function = kernel.function(activation.name)
        self.tally = Tally(regions(activation, direction), dtype, self.bound)
        self.wrong_nan: float | None = None

    def compute(self, x: torch.Tensor) -> Array:
        """The kernel's values or derivatives at ``x``, widened."""
        x = x.to(self.device)
        if self.direction == "forward":
            with torch.no_grad():
                y = self.function(x)
        else:
            leaf = x.detach().requires_grad_()
            value = self.function(leaf)
            (y,) = torch.autograd.grad(value, leaf, torch.ones_like(value))
        return cast(Array, y.cpu().double().numpy())

    def result(self, inputs: Inputs, seconds: float, truth_at: Formula) -> KernelCheck:
        return KernelCheck(
            activation=self.activation.name,
            kernel=self.kernel.name,
            version=self.kernel.version,
            note=self.note,
            device=self.device,
            dtype=str(self.dtype).removeprefix("torch."),
            direction=self.direction,
            inputs=inputs.name,
            tried=inputs.total,
            seconds=round(seconds, 3),
            bound=DeclaredBound.model_validate(self.bound, from_attributes=True),
            regions=self.tally.results(),
            specials=list(self._specials(truth_at)),
        )

    def _specials(self, truth_at: Formula) -> Iterator[SpecialValue]:
        named = specials(self.dtype)
        x = torch.tensor(list(named.values()), dtype=torch.float64, device="cpu").to(self.dtype)
        for name, each, y, truth in zip(
            named, x.tolist(), self.compute(x).tolist(), truth_at(x.double().numpy()).tolist(), strict=True
        ):
            if self.direction == "backward" and each in self.activation.kinks:
                continue
            y = self.wrong_nan if name == "NaN" and self.wrong_nan is not None else y
            yield SpecialValue(
                name=name,
                x=each,
                truth=truth,
                found=y,
                right=self._right(each, y, truth),
                declared=abs(each) <= self.bound.limit if np.isfinite(each) else self.bound.beyond,
            )

    def _right(self, x: float, y: float, truth: float) -> bool:
        if np.isnan(truth):
            return bool(np.isnan(y))
        if abs(truth) > torch.finfo(self.dtype).max:
            return y == truth if np.isinf(x) else not np.isnan(y)
        return bool(abs(y - truth) <= self.bound.absolute + self.bound.relative * abs(truth))


def _run(
    tries: list[_Try], inputs: Inputs, truth_at: Formula, kinks: tuple[float, ...], on_progress: OnProgress | None
) -> None:
    done = 0
    for whole in inputs.chunks():
        x = whole
        if not (torch.isfinite(x[0]) and torch.isfinite(x[-1])):  # what ascends has the others at its ends
            _check_nans(tries, x[torch.isnan(x)])
            x = x[torch.isfinite(x)]
        for kink in kinks:
            x = _without(x, kink)
        if x.numel():
            wide = cast(Array, x.double().numpy())
            y = truth_at(wide)
            truth = Truth(wide, y, np.abs(y), unit(y, x.dtype))
            for each in tries:
                each.tally.add(truth, each.compute(x))
        done += whole.numel()
        if on_progress is not None:
            on_progress(done, inputs.total)


def _check_nans(tries: list[_Try], x: torch.Tensor) -> None:
    for each in tries:
        found = each.compute(x)
        if x.numel() and not np.isnan(found).all():
            each.wrong_nan = float(found[~np.isnan(found)][0])


def _without(x: torch.Tensor, kink: float) -> torch.Tensor:
    """``x`` without the numbers so near to a jump of the derivative that roundings may fall on the other side."""
    margin = 2.0 * torch.finfo(x.dtype).eps * abs(kink)
    if x[:1].double() > kink + margin or x[-1:].double() < kink - margin:
        return x
    return x[(x.double() - kink).abs() > margin]
