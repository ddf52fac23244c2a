"""Facts that need no training: what the swap does to logits, to saved tensors, and that it is undone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gelu_patch.demo.settings import LOGIT_BAR, SAME
from gelu_patch.patching import patch_model
from gelu_patch.reporting.schema import Check
from gelu_patch.timing import arms_of, measure_saved
from gelu_patch.timing.inputs import Inputs, text_inputs
from gelu_patch.timing.shapes import Shape
from gelu_patch.timing.workloads import first_tensor

GPT2 = "GPT-2-shaped model (2 layers of GPT-2 small, random weights)"


def gpt2_shaped(seed: int = 0) -> nn.Module:
    """Return two layers of GPT-2 small with random weights: the real code path, no pretrained checkpoint."""
    from transformers import GPT2Config, GPT2Model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = GPT2Model(GPT2Config(n_layer=2))
        return model.eval()


def check_swap(model: nn.Module, inputs: Inputs, name: str) -> list[Check]:
    """Swap the same mathematics in, compare outputs, undo, and compare again; ``model`` ends as it began."""
    keys = list(model.state_dict())
    before = _outputs(model, inputs)
    with patch_model(model, SAME) as patch:
        patched = _outputs(model, inputs)
        kept_keys = list(model.state_dict()) == keys
        n_sites = len(patch)
    restored = torch.equal(before, _outputs(model, inputs))
    largest = float((patched - before).abs().max())
    return [
        Check(
            name=f"{name}: {SAME} leaves the outputs alone ({n_sites} sites)",
            passed=largest <= LOGIT_BAR,
            measured=f"largest difference {largest:.1e}",
            bar=f"at most {LOGIT_BAR:.0e}",
        ),
        Check(
            name=f"{name}: undoing the patch is exact",
            passed=restored and kept_keys,
            measured="bit-equal outputs, same state_dict keys" if restored and kept_keys else "different",
            bar="bit-equal outputs, same state_dict keys",
        ),
    ]


def check_gpt2(shape: Shape) -> list[Check]:
    """Check the swap on GPT-2's shape, where stock runs GELU as a Python formula."""
    model = gpt2_shaped()
    inputs = text_inputs(model, shape)
    kept = {name: measure_saved(arm, inputs, shape) for name, arm in arms_of(model, [SAME]).items()}
    stock, fused = kept.values()
    mebibytes = [(memory.saved_for_backward_bytes or 0) / 2**20 for memory in (stock, fused)]
    tensors = f"{stock.activation_saved_tensors} to {fused.activation_saved_tensors} tensors a site"
    return [
        *check_swap(model, inputs, GPT2),
        Check(
            name=f"{GPT2}: {SAME} keeps less for the backward pass",
            passed=(stock.activation_saved_tensors, fused.activation_saved_tensors) == (4, 1),
            measured=f"{tensors}; {mebibytes[0]:.1f} to {mebibytes[1]:.1f} MiB in all at {shape[0]}x{shape[1]}",
            bar="4 to 1 tensors a site",
        ),
    ]


def _outputs(model: nn.Module, inputs: Any) -> torch.Tensor:
    with torch.no_grad():
        return first_tensor(model(**inputs)).clone()
