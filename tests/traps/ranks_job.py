"""What two processes check together; test_distributed.py starts it with torchrun and reads what it wrote."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from gelu_patch import check_ranks, patch_model, unpatch_model
from gelu_patch.errors import PatchConflict
from gelu_patch.patching import current_plan
from tests.traps.helpers import CASES, TARGETS, Case, assert_same, gradients, output

WAYS = ("before", "after")


def my_rows(case: Case) -> dict[str, torch.Tensor]:
    return {name: value.chunk(dist.get_world_size())[dist.get_rank()] for name, value in case.inputs().items()}


def plain(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Whole tensors under the names of the unwrapped model."""
    return {
        name.removeprefix("module."): value.full_tensor() if isinstance(value, DTensor) else value
        for name, value in values.items()
    }


def check_training(model: nn.Module, case: Case, target: str) -> None:
    """Each rank has its half of the rows; the averaged gradients are those of one process on all rows."""
    assert len(current_plan(model).changes) == case.n_sites
    check_ranks(model)
    reference = case.stock(TARGETS[target])
    assert_same(output(model, my_rows(case)), output(reference, my_rows(case)))
    assert_same(plain(gradients(model, my_rows(case))), gradients(reference, case.inputs()))
    assert unpatch_model(model) == case.n_sites
    assert_same(plain(gradients(model, my_rows(case))), gradients(case.stock(), case.inputs()))


def ddp(case: Case, target: str, when: str) -> None:
    model = case.stock()
    if when == "before":
        patch_model(model, target)
    # The untied head of RoBERTa has a second bias that nothing reads.
    wrapped = DistributedDataParallel(model, find_unused_parameters=True)
    if when == "after":
        patch_model(wrapped, target)
    check_training(wrapped, case, target)


def fsdp2(case: Case, target: str, when: str) -> None:
    model = case.stock()
    if when == "before":
        patch_model(model, target)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    # The parents of the activations are sharded, too, which gives them another class (FSDPBertIntermediate).
    names = [name for name, _ in model.named_modules() if name.endswith(case.up)]
    parents = [model.get_submodule(name.rpartition(".")[0]) for name in names]
    assert len(parents) == case.n_sites
    for module in (*parents, model):
        fully_shard(module, mesh=mesh)
    assert all(type(module).__name__.startswith("FSDP") for module in parents)
    if when == "after":
        patch_model(model, target)
    check_training(model, case, target)


def refusal_of(model: nn.Module) -> PatchConflict:
    try:
        check_ranks(model)
    except PatchConflict as error:
        return error
    raise AssertionError("the difference was not seen")


def one_rank_only(case: Case, wrap: bool) -> None:
    model = case.stock()
    if dist.get_rank() == 0:
        patch_model(model, "relu")
    model = DistributedDataParallel(model) if wrap else model
    text = str(refusal_of(model))
    assert f"{case.n_sites} of {case.n_sites} patched sites" in text, text
    assert "rank 0: gelu" in text, text
    assert "rank 1: not patched" in text, text
    assert "on every rank" in text, text
    unpatch_model(model)
    check_ranks(model)


def another_site(case: Case) -> None:
    model = case.stock()
    sites = [change.site for change in patch_model(model, "relu").replaced]
    unpatch_model(model)
    patch_model(model, "relu", where=sites[dist.get_rank()])
    assert refusal_of(model).where == sites[0]


def checks():
    for name, case in CASES.items():
        for target in TARGETS:
            for when in WAYS:
                yield f"ddp | {name} | {target} | {when}", lambda c=case, t=target, w=when: ddp(c, t, w)
                yield f"fsdp2 | {name} | {target} | {when}", lambda c=case, t=target, w=when: fsdp2(c, t, w)
        for wrap in (False, True):
            yield f"ranks | {name} | wrapped: {wrap}", lambda c=case, w=wrap: one_rank_only(c, w)
        yield f"ranks | {name} | another site", lambda c=case: another_site(c)


def main() -> None:
    dist.init_process_group("gloo")
    outcome = {}
    for name, check in checks():
        try:
            check()
            failure = None
        except Exception:
            failure = traceback.format_exc()
        failures = [None] * dist.get_world_size()
        dist.all_gather_object(failures, failure)
        outcome[name] = "\n".join(f"rank {rank}: {text}" for rank, text in enumerate(failures) if text)
    if dist.get_rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps(outcome), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()
    # Threads of gloo that still run when the interpreter ends its libraries abort the process, now and then.
    os._exit(0)


if __name__ == "__main__":
    main()
