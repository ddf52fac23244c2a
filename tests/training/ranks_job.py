"""What two processes train together; test_distributed.py starts it with torchrun and reads what it wrote."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from gelu_patch import patch_model
from gelu_patch.errors import EnvironmentProblem, GeluPatchError, PatchConflict
from gelu_patch.training import checkpoints
from gelu_patch.training.log import StepRecord
from gelu_patch.training.loop import finetune
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.saving import Saving
from gelu_patch.training.state import whole_weights

from .toy import ToyClassifier, ToyData, recipe, toy_loss


class Stopped(GeluPatchError):
    pass


def settings() -> Recipe:
    return recipe(per_device_train_batch_size=4, num_train_epochs=2)


def train(directory: Path, model: torch.nn.Module | None = None, stop: int | None = None) -> torch.nn.Module:
    def on_step(record: StepRecord, total: int) -> None:
        if record.step == stop:
            raise Stopped("the processes are gone")

    model = model or ToyClassifier(dropout=0.3)
    finetune(
        model,
        ToyData(29),
        settings(),
        loss=toy_loss,
        validate=lambda model: 0.5,
        on_step=on_step,
        log_path=directory / "log.jsonl",
        saving=Saving(directory / "checkpoints", every=3),
    )
    return model


def bits(model: torch.nn.Module) -> str:
    return b"".join(tensor.detach().numpy().tobytes() for tensor in whole_weights(model).values()).hex()


def sharded() -> torch.nn.Module:
    model = ToyClassifier(dropout=0.3)
    patch_model(model, "gelu_fused")
    fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    return model


def refusal(kind: type[GeluPatchError], act) -> str:
    try:
        act()
    except kind as error:
        return str(error)
    return ""


def one_rank_only() -> torch.nn.Module:
    model = ToyClassifier()
    if dist.get_rank() == 0:
        patch_model(model, "relu")
    return model


def full_disk(tensors: object, path: object) -> None:
    raise OSError(28, "No space left on device")


def main(directory: Path) -> None:
    PartialState(cpu=True)  # of the caller: it outlives the runs
    rank = dist.get_rank()
    found = {"whole": bits(train(directory / "whole"))}
    refusal(Stopped, lambda: train(directory / "cut", stop=5))
    found["continued"] = bits(train(directory / "cut"))
    found["sharded"] = bits(train(directory / "sharded", sharded()))
    refusal(Stopped, lambda: train(directory / "sharded-cut", sharded(), stop=5))
    found["sharded, continued"] = bits(train(directory / "sharded-cut", sharded()))
    found["patches"] = refusal(PatchConflict, lambda: train(directory / f"patches-{rank}", one_rank_only()))
    real, checkpoints.save_file = checkpoints.save_file, full_disk
    found["disk"] = refusal(EnvironmentProblem, lambda: train(directory / "disk"))
    checkpoints.save_file = real
    (directory / f"found-{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()
    # Threads of gloo that still run when the interpreter ends its libraries abort the process, now and then.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
