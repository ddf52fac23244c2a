"""What the kernels must reach, as data. Ratios are times of the other arm over times of ours: higher is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .names import ADDMM_F_GELU, COMPILED, COPY, F_GELU, LIGER, ONE_KERNEL, OURS, STOCK


@dataclass(frozen=True)
class Bar:
    """``piece`` of cpu_models.json: ``ours`` must be ``floor`` times as fast as ``other``, better ``goal`` times.

    A floor of 1 is "not slower".
    """

    piece: str
    other: str
    floor: float
    goal: float | None = None
    ours: str = OURS

    @property
    def text(self) -> str:
        """The bar in words."""
        if self.floor == 1:
            return f"not slower than {self.other}"
        return f"{self.floor:g}x" + (f" / {self.goal:g}x" if self.goal else "") + f" {self.other}"


MODEL_BARS = (
    Bar("gpt2:float32:infer:1", STOCK, 1.15, 1.25),
    Bar("gpt2:float32:infer:1", COMPILED, 1.0),
    Bar("gpt2:bfloat16:infer:1", STOCK, 1.15, 1.25),
    Bar("gpt2:bfloat16:infer:1", COMPILED, 1.0),
    Bar("gpt2:float32:train:1", STOCK, 1.12, 1.18),
    Bar("t5:float32:infer:1", STOCK, 1.07),
    Bar("minilm:float32:infer:1", STOCK, 1.10),
    *(
        Bar(f"bert:{dtype}:{phase}:{threads}", STOCK, 1.0)
        for dtype in ("float32", "bfloat16")
        for phase in ("infer", "train")
        for threads in (1, 2)
    ),
)

# Time of ours over that of the fastest plain linear, at most.
LINEAR_BAR = 1.03


@dataclass(frozen=True)
class GpuBar:
    """Row ``row`` of the goals for a GPU: ``ours`` against ``other`` in a piece of gpu.json.

    ``measure``: "speed", times as fast; "peak" and "kept", the share of the bytes that is saved; "rate", the share of
    the copy's bytes a second; "error", eager's largest error over ours, the least of all forms and dtypes.
    """

    row: str
    piece: str
    measure: Literal["speed", "peak", "kept", "rate", "error"]
    floor: float
    goal: float
    other: str = STOCK
    ours: str = OURS


GPU_BARS = (
    GpuBar("G1", "mlp:forward:768:8192", "speed", 2.0, 2.8),
    GpuBar("G1", "mlp:forward:1024:8192", "speed", 1.8, 2.4),
    GpuBar("G2", "linear:gelu_tanh:768:8192", "speed", 1.15, 1.30, ADDMM_F_GELU, ONE_KERNEL),
    GpuBar("G3", "model:gpt2:infer", "speed", 1.4, 1.8),
    GpuBar("G4", "compiled:gpt2:infer", "speed", 1.0, 1.05, COMPILED),
    GpuBar("G5", "model:bert:infer", "speed", 1.0, 1.03),
    GpuBar("G5", "model:bert-large:infer", "speed", 1.0, 1.03),
    GpuBar("G5", "elementwise:gelu:50", "speed", 1.10, 1.20, f"{F_GELU}, forward", f"{OURS}, forward"),
    GpuBar("G6", "model:gpt2:infer", "speed", 1.05, 1.10, "kernels-community"),
    GpuBar("G7", "model:gpt2:train:autocast", "speed", 1.4, 1.7),
    GpuBar("G7", "mlp:training:768", "speed", 3.0, 3.0),
    GpuBar("G8", "model:bert:train:autocast", "speed", 0.99, 1.02),
    GpuBar("G9", "model:gpt2:train:autocast", "peak", 0.45, 0.50),
    GpuBar("G9", "model:gpt2:train:autocast", "peak", 0.11, 0.13, F_GELU),
    GpuBar("G9", "model:gpt2:train:autocast", "kept", 0.60, 0.65),
    GpuBar("G9", "model:gpt2:train:autocast", "kept", 0.18, 0.21, F_GELU),
    GpuBar("G10", "model:bert:train:autocast", "kept", 0.17, 0.19),
    GpuBar("G11", "gated:3072", "speed", 0.98, 1.02, LIGER),
    GpuBar("G11", "gated:3072", "kept", 0.33, 0.33, LIGER),
    *(
        GpuBar("G12", f"elementwise:{form}:400", "rate", 0.85, 0.92, COPY, f"{OURS}, {direction}")
        for form in ("gelu", "gelu_tanh")
        for direction in ("forward", "backward")
    ),
    GpuBar("G13", "host:768", "speed", 1.0, 1.2),
    GpuBar("G14", "errors", "error", 1.0, 2.0, "eager"),
    GpuBar("G15", "mlp:training:768", "speed", 0.95, 1.0, "quack or TransformerEngine"),
)
