"""Which modules of a patched model record what can be computed again in backward (``kernels/recompute.py``)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from gelu_patch.kernels import KernelActivation, recompute

# What TorchScript asks for before it compiles a module, with whatever hooks that has.
_PREPARE = "__prepare_scriptable__"


class _Scriptable:
    """Gives TorchScript a twin of its module without the hooks, which are Python."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __call__(self) -> nn.Module:
        twin = type(self._module).__new__(type(self._module))
        for name, value in vars(self._module).items():
            vars(twin)[name] = value.copy() if name.startswith("_forward_") or name == "_modules" else value
        forget(twin)
        return twin


def follow(model: nn.Module, activations: Iterable[object]) -> None:
    """Let ``model`` and what may be called on its own in it record, when any of its activations asks for that."""
    if not any(wants_recording(activation) for activation in activations):
        for module in model.modules():
            forget(module)
        return
    for module in model.modules():
        # Transformers models are called also without what is around them.
        if module is model or hasattr(type(module), "save_pretrained"):
            record(module)


def wants_recording(activation: object) -> bool:
    """Whether it is an activation of this package with anything but ``memory="speed"``."""
    return isinstance(activation, KernelActivation) and activation.memory != "speed"


def record(module: nn.Module) -> None:
    """Put the hooks on ``module``, unless they are there."""
    if recompute.enter not in module._forward_pre_hooks.values():
        module.register_forward_pre_hook(recompute.enter)
        module.register_forward_hook(recompute.leave, always_call=True)
        vars(module).setdefault(_PREPARE, _Scriptable(module))


def forget(module: nn.Module) -> None:
    """Take the hooks off ``module``, also off a copy."""
    for hooks, ours in ((module._forward_pre_hooks, recompute.enter), (module._forward_hooks, recompute.leave)):
        for key in [key for key, hook in hooks.items() if hook is ours]:
            del hooks[key]
            module._forward_hooks_always_called.pop(key, None)
    if isinstance(vars(module).get(_PREPARE), _Scriptable):
        del vars(module)[_PREPARE]
