"""What training changes, as tensors and plain data, so that a checkpoint can hold it and a run can go on from it.

Frozen weights are not in it: the run that goes on has loaded them, and is checked to have loaded the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from gelu_patch.training.checkpoints import Checkpoint

MODEL, OPTIMIZER = "model", "optimizer"


def is_sharded(model: nn.Module) -> bool:
    """Whether each process holds a part of the weights only (FSDP2)."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and saved buffers of a model that may be sharded; all processes must call it."""
    return {name: _whole(tensor) for name, tensor in model.state_dict().items()}


def capture(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Return the trained weights, the buffers that are saved, and the optimizer's state, by file and name.

    Sharded tensors are gathered, so all processes must call it. The optimizer's state is named
    ``PARAMETER/ENTRY``, such as ``head.weight/exp_avg``.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in _trained(model)}
    state = {
        f"{names[parameter]}/{entry}": torch.as_tensor(_whole(value))
        for parameter, entries in optimizer.state.items()
        for entry, value in entries.items()
    }
    changing = {**dict(_trained(model)), **dict(_saved_buffers(model))}
    return {MODEL: {name: _whole(tensor) for name, tensor in changing.items()}, OPTIMIZER: state}


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put what ``capture`` returned back in its place. The tensors must be those of this model.

    Each goes into the tensor that is there, on its device and sharded as it is.
    """
    weights, state = checkpoint.tensors(MODEL), checkpoint.tensors(OPTIMIZER)
    with torch.no_grad():
        for name, tensor in (*_trained(model), *_saved_buffers(model)):
            tensor.copy_(_like(weights[name], tensor))
    optimizer.load_state_dict(_with_state(model, optimizer, state))


def _with_state(model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the optimizer's own state_dict, with this state in it."""
    content = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in content["param_groups"] for number in group["params"]]
    number_of = dict(zip(parameters, numbers, strict=True))
    of_name = dict(_trained(model))
    content["state"] = {}
    for key, value in state.items():
        name, _, entry = key.rpartition("/")
        parameter = of_name[name]
        # Moments look like the parameter; what does not, such as the count of steps, is one number.
        whole = _like(value, parameter) if value.shape == parameter.shape else value
        content["state"].setdefault(number_of[parameter], {})[entry] = whole.clone()
    return content


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _saved_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    saved = model.state_dict().keys()
    return ((name, buffer) for name, buffer in model.named_buffers() if name in saved)


def _whole(tensor: Any) -> Any:
    if isinstance(tensor, DTensor):
        return tensor.full_tensor().detach().cpu()
    return tensor.detach() if isinstance(tensor, Tensor) else tensor


def _like(value: Tensor, tensor: Tensor) -> Tensor:
    if isinstance(tensor, DTensor):
        return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
    return value.to(tensor.device)
