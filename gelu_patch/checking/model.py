"""Is a whole patched model right? Its outputs, layer by layer, against the same mathematics in float64.

No tolerance has to be guessed: the model computed by PyTorch's own ops in the same dtype is held against the same
truth, and the patched model may not be clearly farther from it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from gelu_patch.errors import NothingToPatch, UnsupportedModel, UsageError
from gelu_patch.patching import Plan, apply_plan, current_plan, unpatch_model
from gelu_patch.patching.shells import shell_of
from gelu_patch.sites.modes import modes_restored
from gelu_patch.sites.table import as_text, plain_table
from gelu_patch.sites.trace import call

# Two ways of rounding the same sums differ by less; a wrong activation, in float32, is off by a thousand times as much.
SLACK = 2.0


class OutputErrors(BaseModel):
    """One output: the distance from the truth divided by the size of the truth (L2 norms), patched and by PyTorch."""

    model_config = ConfigDict(frozen=True)

    name: str
    patched: float
    pytorch: float
    rounding: float  # half a unit in the last place of the dtype, relatively

    @property
    def right(self) -> bool:
        """Whether the patched model is as exact as PyTorch's ops, or as the dtype."""
        return self.patched <= max(SLACK * self.pytorch, self.rounding)


class PatchCheck(BaseModel):
    """What ``check_patch`` found. Print it to read it."""

    model_config = ConfigDict(frozen=True)

    model: str
    target: str
    dtype: str
    n_sites: int
    changes_mathematics: bool
    outputs: list[OutputErrors]

    @property
    def wrong(self) -> list[str]:
        """The outputs that are farther from the truth than PyTorch's ops explain."""
        return [each.name for each in self.outputs if not each.right]

    @property
    def kept(self) -> bool:
        """Whether every output is right."""
        return not self.wrong

    def __str__(self) -> str:
        rows = [
            [each.name, f"{each.patched:.2e}", f"{each.pytorch:.2e}", "" if each.right else "WRONG"]
            for each in self.outputs
        ]
        sites = f"{self.n_sites} patched site{'' if self.n_sites == 1 else 's'}"
        truth = "the mathematics of the swap" if self.changes_mathematics else "the mathematics of the checkpoint"
        return "\n".join(
            [
                f"{self.model}, {self.target}, {sites}, {self.dtype}: relative errors against {truth} in float64",
                as_text(plain_table(["output", "patched", "PyTorch's ops", ""], rows)),
                "right" if self.kept else f"WRONG: {', '.join(self.wrong)}",
            ]
        )


def check_patch(model: nn.Module, example_inputs: object = None) -> PatchCheck:
    """Run a patched ``model``, the same by PyTorch's ops, and the same in float64, and compare all outputs.

    ``example_inputs`` are those of ``inspect_model``; by default the ``dummy_inputs`` of a Transformers model. The
    hidden states of every layer are compared where the model gives them. Dropout is off; ``model`` is left as it was.
    Needs the memory of one float64 copy. Where the swap changes the mathematics, the truth is the swapped model's; how
    far it lies from the checkpoint is for an evaluation to say. A mistake as small as erf for tanh (1e-4 where |x| is
    about 2) shows in float32 and hides in the rounding of bfloat16.

    Raises NothingToPatch when nothing is patched, UsageError when there are no inputs, and UnsupportedModel when an
    output is not finite in float64 or nothing comes out.
    """
    plan = current_plan(model)
    if not plan.changes:
        raise NothingToPatch(
            f"{type(model).__name__} has no patch to check",
            why="no site holds an activation of this package",
            next_step="gelu_patch.patch_model(model, 'gelu_fused') first",
        )
    inputs = _inputs_of(model, example_inputs)
    pytorch = _by_pytorch(model, plan)
    truth = copy.deepcopy(pytorch).double()
    with modes_restored(model):  # itself: a copy looks its kernels up anew
        found = dict(_outputs(model, inputs))
    reference, exact = dict(_outputs(pytorch, inputs)), dict(_outputs(truth, _double(inputs)))
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return PatchCheck(
        model=plan.model,
        target=plan.target,
        dtype=str(dtype).removeprefix("torch."),
        n_sites=len(plan.changes),
        changes_mathematics=plan.changes_mathematics,
        outputs=[
            OutputErrors(
                name=name,
                patched=_distance(found[name], value),
                pytorch=_distance(reference[name], value),
                rounding=torch.finfo(dtype).eps / 2,
            )
            for name, value in _finite(exact, type(model).__name__).items()
        ],
    )


def _by_pytorch(model: nn.Module, plan: Plan) -> nn.Module:
    """A shell with the same mathematics by PyTorch's ops: the stock model, or the swap by the kernel "eager"."""
    shell = shell_of(model)
    unpatch_model(shell)
    if plan.changes_mathematics:
        changes = tuple(change.model_copy(update={"kernel": "eager"}) for change in plan.changes)
        apply_plan(shell, plan.model_copy(update={"changes": changes}))
    return shell


def _inputs_of(model: nn.Module, given: object) -> object:
    if given is not None:
        return given
    try:
        dummy = getattr(model, "dummy_inputs", None)
    except Exception:  # some models promise inputs that they cannot make
        dummy = None
    if not isinstance(dummy, Mapping):
        raise UsageError(
            f"{type(model).__name__} does not say what to run it on",
            why="it has no dummy_inputs",
            next_step="check_patch(model, example_inputs), for example the output of its tokenizer",
        )
    device = next(model.parameters()).device
    return {name: value.to(device) for name, value in dummy.items() if isinstance(value, torch.Tensor)}


def _double(inputs: object) -> object:
    if isinstance(inputs, torch.Tensor):
        return inputs.double() if inputs.is_floating_point() else inputs
    if isinstance(inputs, Mapping):
        return {name: _double(value) for name, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return type(inputs)(_double(value) for value in inputs)
    return inputs


def _outputs(model: nn.Module, inputs: object) -> Iterator[tuple[str, torch.Tensor]]:
    config = getattr(model, "config", None)
    if isinstance(inputs, Mapping) and hasattr(config, "output_hidden_states"):
        inputs = {"output_hidden_states": True, **inputs}
    try:
        with torch.no_grad():
            output = call(model.eval(), inputs)
    except Exception as error:
        raise UnsupportedModel(
            f"running {type(model).__name__} on the example inputs failed",
            why=f"{type(error).__name__}: {error}",
            next_step="check_patch(model, example_inputs) with inputs that its forward accepts",
        ) from error
    yield from _tensors("output", output)


def _tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() and value.numel():
            yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(str(key) if name == "output" else f"{name}.{key}", part)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _tensors(f"{name}[{number}]", part)


def _distance(value: torch.Tensor, truth: torch.Tensor) -> float:
    size, distance = truth.norm().item(), (value.double() - truth).norm().item()
    return distance / size if size else (0.0 if distance == 0 else math.inf)


def _finite(outputs: dict[str, torch.Tensor], model: str) -> dict[str, torch.Tensor]:
    broken = [name for name, value in outputs.items() if not value.isfinite().all()]
    if broken or not outputs:
        raise UnsupportedModel(
            f"{model} gives nothing to compare",
            where=", ".join(broken) or None,
            why="an output is not finite in float64" if broken else "no tensor of floating point numbers comes out",
            next_step="pass other example_inputs",
        )
    return outputs
