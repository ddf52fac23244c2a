"""The arms of a whole model: stock, stock again, the GELUs of others, ours, the compilers, and the limit.

All arms of a piece are shells over the same parameters, so they differ in nothing but their activations.
"""

from __future__ import annotations

import inspect
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import gelu_patch as gp
from gelu_patch.errors import GeluPatchError
from gelu_patch.patching.shells import shell_of
from gelu_patch.sites import find_sites
from gelu_patch.timing.inputs import Inputs
from gelu_patch.timing.workloads import first_tensor

from .models import Model
from .names import AGAIN, COMPILED, F_GELU, LIMIT, ONNX, OURS, OURS_COMPILED, OURS_MAX, OURS_SPEED, STOCK
from .rounds import Skip

# Of the largest value of stock's output; a fast arm that computes something else is not measured.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}


@dataclass
class Setting:
    """One piece: a model with its inputs, in a phase ("infer" or "train"), with a number of threads.

    ``notes`` collects what an arm has to say beside its times, by arm.
    """

    row: Model
    model: nn.Module
    inputs: Inputs
    phase: str
    threads: int
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return next(self.model.parameters()).dtype


@dataclass(frozen=True)
class Arm:
    """``run`` is what is timed; ``output`` computes the hidden states once, without dropout."""

    run: Callable[[], object]
    output: Callable[[], torch.Tensor]


Maker = Callable[[Setting], Arm]


def arm_of(module: nn.Module, setting: Setting) -> Arm:
    """Time one forward without gradients; or one training step: forward in training mode and backward.

    The step begins from a fixed random gradient of the hidden states, ends with all gradients dropped, and has no
    optimizer, which would be the same in all arms. Dropout is that of the model's config.
    """

    def infer() -> torch.Tensor:
        with torch.inference_mode():
            return first_tensor(module(**setting.inputs))

    def output() -> torch.Tensor:
        module.eval()
        found = infer()
        module.train(setting.phase == "train")
        return found

    module.train(setting.phase == "train")
    if setting.phase == "infer":
        return Arm(infer, output)
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(output().shape, generator=generator).to(setting.dtype)

    def step() -> None:
        torch.autograd.backward(first_tensor(module(**setting.inputs)), gradient)
        module.zero_grad(set_to_none=True)

    return Arm(step, output)


def stock(setting: Setting) -> Arm:
    return arm_of(shell_of(setting.model), setting)


def with_each_gelu(setting: Setting, replacement: Callable[[str], nn.Module]) -> Arm:
    """Put ``replacement(activation)`` where each GELU is."""
    shell = shell_of(setting.model)
    for site in find_sites(shell):
        if site.is_gelu:
            for owner in site.owners:
                owner.put(replacement(str(site.activation)))
    return arm_of(shell, setting)


def f_gelu(setting: Setting) -> Arm:
    if not setting.row.python_gelu:
        raise Skip("stock calls F.gelu already")
    return with_each_gelu(setting, lambda name: nn.GELU(approximate="tanh" if name == "gelu_tanh" else "none"))


def ours(arm: str, memory: str | None = None) -> Maker:
    """Patch with "gelu_fused", and ``memory=`` where this version of the package has it."""

    def make(setting: Setting) -> Arm:
        if memory is not None and "memory" not in inspect.signature(gp.patch_model).parameters:
            raise Skip("patch_model has no memory=")
        options: dict[str, Any] = {} if memory is None else {"memory": memory}
        shell = shell_of(setting.model)
        shell.train(setting.phase == "train")
        try:
            setting.notes[arm] = {"patch": str(gp.patch_model(shell, "gelu_fused", **options)).splitlines()}
        except GeluPatchError as error:
            raise Skip(str(error)) from None
        return arm_of(shell, setting)

    return make


def compiled(setting: Setting) -> Arm:
    """Compile stock with the default options, nothing taken from a cache; note the seconds of the first two runs."""
    torch._dynamo.reset()
    return _compiled(COMPILED, shell_of(setting.model), setting)


def ours_compiled(setting: Setting) -> Arm:
    """The same with a patched model: its kernels are operators in the compiled graph."""
    shell = shell_of(setting.model)
    gp.patch_model(shell, "gelu_fused")
    return _compiled(OURS_COMPILED, shell, setting)


def _compiled(name: str, shell: nn.Module, setting: Setting) -> Arm:
    if setting.phase == "train":
        raise Skip("measured for inference only")
    torch._inductor.config.force_disable_caches = True
    arm = arm_of(torch.compile(shell), setting)
    started = time.perf_counter()
    try:
        arm.run(), arm.run()
    except torch._dynamo.exc.TorchDynamoException as error:
        raise Skip(f"torch.compile failed: {str(error).splitlines()[0]}") from None
    setting.notes[name] = {"seconds to compile": round(time.perf_counter() - started, 1)}
    return arm


def onnx_runtime(setting: Setting) -> Arm:
    """Export stock and run it with as many threads, by the default optimisations of the CPU provider."""
    if not setting.row.onnx or setting.phase == "train" or setting.dtype != torch.float32:
        raise Skip("measured for inference of the encoders in float32 only")
    try:
        import onnxruntime as ort
    except ImportError:
        raise Skip("onnxruntime is not installed") from None
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = setting.threads, 1
    # Its threads would go on spinning after a run, at the cost of the arm that comes next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        shell = shell_of(setting.model).eval()
        try:
            torch.onnx.export(shell, kwargs=dict(setting.inputs), f=file, dynamo=True, verbose=False)
        except torch.onnx.OnnxExporterError as error:
            raise Skip(f"the export failed: {str(error).splitlines()[0]}") from None
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {name: tensor.numpy() for name, tensor in setting.inputs.items()}
    name = session.get_outputs()[0].name

    def run() -> torch.Tensor:
        return torch.from_numpy(session.run([name], feed)[0])

    setting.notes[ONNX] = {"version": ort.__version__}
    return Arm(run, run)


def limit(setting: Setting) -> Arm:
    return with_each_gelu(setting, lambda _: nn.Identity())


# In this order they are made, and stand in the tables.
ARMS: dict[str, Maker] = {
    STOCK: stock,
    AGAIN: stock,
    F_GELU: f_gelu,
    OURS: ours(OURS),
    OURS_SPEED: ours(OURS_SPEED, "speed"),
    OURS_MAX: ours(OURS_MAX, "max"),
    COMPILED: compiled,
    OURS_COMPILED: ours_compiled,
    ONNX: onnx_runtime,
    LIMIT: limit,
}
PHASES = {OURS_MAX: "train"}  # arms of one phase only: this option is about what training keeps


def check_output(arm: Arm, setting: Setting, expected: torch.Tensor) -> None:
    """Raise Skip when the arm computes something else than stock."""
    found = arm.output().float()
    different = float((found - expected).abs().max() / expected.abs().max())
    if not different <= TOLERANCE[setting.dtype]:
        raise Skip(f"its output differs from stock's by {different:.1e} of the largest value")
