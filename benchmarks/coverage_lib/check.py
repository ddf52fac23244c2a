"""Everything that is asked of one model class, as one row of plain data."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

import gelu_patch as gp
from gelu_patch.activations import activations

from .catalogue import ModelClass
from .count import GeluCounter
from .entries import Everything
from .outputs import bit_equal, difference, finite_share, float_tensors, scale
from .rounding import DRAWS, FACTOR, other_last_bits
from .sample import NoSample, Sample, find_sample

TOLERANCE = 1e-5

Row = dict[str, Any]
Tensors = list[torch.Tensor]


def check_class(model_class: ModelClass) -> Row:
    """Build, run, patch and revert one class; never raises for what the class or the product does wrong."""
    started = time.perf_counter()
    row: Row = {"folder": model_class.folder, "class": model_class.name}
    try:
        sample = find_sample(model_class.load())
        row |= {
            "recipe": str(sample.recipe),
            "calls": [str(call) for call in sample.calls],
            "untouched": sample.untouched,
        }
        row |= check_sample(sample)
    except NoSample as error:
        row |= {"status": f"not {'built' if error.stage == 'build' else 'run'}", "reason": str(error)}
    except Exception as error:
        row |= {"status": "check failed", "reason": f"{type(error).__name__}: {str(error).strip()[:400]}"}
    return row | {"seconds": round(time.perf_counter() - started, 2)}


def check_sample(sample: Sample) -> Row:
    """Return the row of a model that runs: its counts, and the three checks when it executes a GELU."""
    everything = sample.everything
    stock, counter = counted(everything)
    row: Row = {
        "parameters": sum(parameter.numel() for parameter in sample.model.parameters()),
        "before": dict(counter.counts),
        "scale": scale(stock),
        "finite": finite_share(stock),
    }
    census = gp.inspect_model(everything, {})
    row["registered"] = len(census.sites)
    if not counter.total:
        return row | {"status": "no GELU"}
    executions = census.executions or {}
    uncovered = census.uncovered or {}
    row |= {
        "status": "executed",
        "forms": dict(Counter(site.form for site in census.sites if executions[site.name])),
        "seen": {"sites": sum(executions.values()), "uncovered": sum(uncovered.values())},
        "never_run": sum(count == 0 for count in executions.values()),
        "uncovered": sorted(f"{call.location} {call.activation}" for call in uncovered),
    }
    if not bit_equal(stock, outputs(everything)):
        return row | {"status": "not deterministic", "reason": "two runs of the stock model differ"}
    twin = sample.twin()
    bystander = outputs(twin)
    row["twin_equal"] = bit_equal(stock, bystander)
    row["relu"] = _relu(sample.model, everything, stock, twin, bystander)
    row["exact"] = _exact(sample.model, everything, stock, twin, bystander)
    row["passed"] = row["relu"]["passed"] and row["exact"]["passed"]
    return row


def outputs(everything: Everything) -> Tensors:
    """Run all calls; return every floating tensor of their results."""
    with torch.no_grad():
        return float_tensors(everything())


def counted(everything: Everything) -> tuple[Tensors, GeluCounter]:
    """Return the outputs and the independent count of a run."""
    with GeluCounter() as counter:
        made = outputs(everything)
    return made, counter


def _relu(model: torch.nn.Module, everything: Everything, stock: Tensors, twin: Everything, bystander: Tensors) -> Row:
    """No GELU is left, or it is listed; the outputs change; the other instance does not; undoing is exact."""
    result: Row = {}
    with _patched(model, "relu", result):
        made, counter = counted(everything)
        result["survivors"] = counter.total
        result["unlisted"] = _unlisted(everything, result) if counter.total else []
        result["changed"] = not bit_equal(made, stock)
        result["bystander"] = bit_equal(outputs(twin), bystander)
    result["reverted"] = bit_equal(outputs(everything), stock)
    result["bystander_after"] = bit_equal(outputs(twin), bystander)
    replaced = result["replaced"] > 0
    result["passed"] = (
        not result["unlisted"]
        and (result["changed"] or not replaced)
        and result["bystander"]
        and result["reverted"]
        and result["bystander_after"]
    )
    return result


def _unlisted(everything: Everything, result: Row) -> list[str]:
    """Name what still runs a GELU in the patched model and is not among the rejected sites."""
    census = gp.inspect_model(everything, {})
    left = [
        site.name.removeprefix("model.")
        for site in census.sites
        if census.executions[site.name] and activations.get(site.activation).is_gelu
    ]
    found = [name for name in left if name not in result["rejected"]]
    found += [f"{call.location} {call.activation}" for call in census.uncovered]
    return found if found or left else ["seen by the operators only"]


def _exact(model: torch.nn.Module, everything: Everything, stock: Tensors, twin: Everything, bystander: Tensors) -> Row:
    """The same mathematics by the product's kernels: close outputs, same bystander, exact undoing.

    Close is within the tolerance, or within ``FACTOR`` of what other last bits of the same GELUs do to this model.
    """
    result: Row = {}
    with _patched(model, "gelu_fused", result):
        result["difference"] = difference(stock, outputs(everything))
        result["bystander"] = bit_equal(outputs(twin), bystander)
    result["reverted"] = bit_equal(outputs(everything), stock)
    if result["difference"] > TOLERANCE:
        result["rounding"] = max(_by_rounding_alone(model, everything, stock, seed) for seed in range(DRAWS))
    result["passed"] = is_close(result) and result["bystander"] and result["reverted"]
    return result


def _by_rounding_alone(model: torch.nn.Module, everything: Everything, stock: Tensors, seed: int) -> float:
    with other_last_bits(seed), _patched(model, "gelu_fused", {}):
        return difference(stock, outputs(everything))


def is_close(exact: Row) -> bool:
    """Tell whether an exact swap left the outputs alone."""
    return bool(exact["difference"] <= max(TOLERANCE, FACTOR * exact.get("rounding", 0.0)))


@contextmanager
def _patched(model: torch.nn.Module, target: str, result: Row) -> Iterator[None]:
    patch = gp.patch_model(model, target, allow_empty=True)
    result["replaced"] = len(patch)
    result["rejected"] = {rejection.site: rejection.reason for rejection in patch.rejected}
    try:
        yield
    finally:
        patch.revert()
