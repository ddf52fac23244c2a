"""What the trap tests share: the numbers of the traps, the models, and a comparison that notices wrong mathematics.

The pattern of nearly every test: a model that was *built* with an activation goes through a companion (PEFT,
a compiler, ...), and so does a model that was *patched* to it; both must give the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gelu_patch.patching import patch_model
from tests.zoo import WIDTH, Inline, Mlp, Stack, tiny_bert, tiny_gpt2, tokens

N_TRAPS = 36

# Which tests cover which trap; `trap` fills it when a test file is imported.
COVERED: dict[int, list[str]] = {}

# What a model is patched to, and with what its reference is built.
TARGETS = {"gelu_fused": "gelu", "relu": "relu"}


def trap(*numbers: int) -> Callable[[Any], Any]:
    """Mark a test as the one of these rows of the trap table."""

    def mark(test: Any) -> Any:
        for number in numbers:
            COVERED.setdefault(number, []).append(f"{test.__module__}.{test.__name__}")
        return pytest.mark.trap(*numbers)(test)

    return mark


@dataclass(frozen=True)
class Case:
    """One way in which a model holds its GELUs.

    ``build`` takes what the model shall be built with, "gelu" or "relu". ``up`` are the names that the Linears
    before the activations end in, ``n_sites`` is how many sites there are.
    """

    build: Callable[[str], nn.Module]
    inputs: Callable[[], dict[str, torch.Tensor]]
    up: tuple[str, ...]
    n_sites: int

    def stock(self, activation: str = "gelu") -> nn.Module:
        """A model that was built with the activation; always the same weights."""
        torch.manual_seed(0)
        return lively(self.build(activation))

    def patched(self, target: str) -> nn.Module:
        """A model that was built with GELU and patched."""
        model = self.stock()
        patch_model(model, target)
        return model


def _bert(activation: str) -> nn.Module:
    return tiny_bert("BertForSequenceClassification", layers=2, hidden_act=activation)


def _gpt2(activation: str) -> nn.Module:
    # Without a cache in its output, which exporters cannot name.
    return tiny_gpt2(activation_function="gelu_new" if activation == "gelu" else activation, use_cache=False)


def _roberta(activation: str) -> nn.Module:
    """One GELU is a submodule of the layer, the other a global object called in the forward of the head."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    config = RobertaConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=100,
        hidden_act=activation, tie_word_embeddings=False,
    )  # fmt: skip
    model = RobertaForMaskedLM(config).eval()
    if activation == "relu":
        model.lm_head.__class__ = _relu_head()  # it has no config field
    return model


@functools.cache
def _relu_head() -> type:
    from transformers.models.roberta.modeling_roberta import RobertaLMHead

    class ReluHead(RobertaLMHead):
        def forward(self, features: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            return self.decoder(self.layer_norm(torch.relu(self.dense(features))))

    return ReluHead


def _toy(act: Callable[[], object]) -> nn.Module:
    return Stack(Mlp(act()), Mlp(act())).eval()


def _formula() -> nn.Module:
    from transformers.activations import NewGELUActivation

    return NewGELUActivation()


class InlineRelu(Inline):
    """What `Inline` is after a swap."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.up(x))


def _inline(activation: str) -> nn.Module:
    kind = Inline if activation == "gelu" else InlineRelu
    return Stack(kind(), kind()).eval()


def rows() -> dict[str, torch.Tensor]:
    return {"x": torch.linspace(-3, 3, 4 * WIDTH).reshape(4, WIDTH)}


PRETRAINED = {
    "BERT": Case(_bert, tokens, ("intermediate.dense",), 2),
    "GPT-2": Case(_gpt2, tokens, ("c_fc",), 2),
    "RoBERTa": Case(_roberta, tokens, ("intermediate.dense", "lm_head.dense"), 2),
}
TOYS = {
    "submodule": Case(lambda act: _toy(nn.GELU if act == "gelu" else nn.ReLU), rows, ("up",), 2),
    "formula": Case(lambda act: _toy(_formula if act == "gelu" else nn.ReLU), rows, ("up",), 2),
    "attribute": Case(lambda act: _toy(lambda: getattr(F, act)), rows, ("up",), 2),
    "inline": Case(_inline, rows, ("up",), 2),
}
# Whose activations are all modules that the model builds from its config.
BUILT = {name: PRETRAINED[name] for name in ("BERT", "GPT-2")}
CASES = PRETRAINED | TOYS

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_pretrained = pytest.mark.parametrize("case", PRETRAINED.values(), ids=PRETRAINED)
every_built = pytest.mark.parametrize("case", BUILT.values(), ids=BUILT)
every_toy = pytest.mark.parametrize("case", TOYS.values(), ids=TOYS)
# For slow companions: both targets on toys, the one that is seen in the numbers on whole models.
_PAIRS = {
    f"{name}-{target}": (case, target)
    for name, case in CASES.items()
    for target in TARGETS
    if name in TOYS or target == "relu"
}
every_pair = pytest.mark.parametrize(("case", "target"), _PAIRS.values(), ids=_PAIRS)
every_target = pytest.mark.parametrize("target", TARGETS)


def lively(model: nn.Module) -> nn.Module:
    """Give every matrix weights that keep activations of order one, where activations differ visibly."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, nn.Embedding):
                nn.init.normal_(parameter)
            elif parameter.dim() == 2:
                # Conv1D of Transformers keeps (in, out), nn.Linear (out, in).
                fan_in = parameter.shape[1 if isinstance(module, nn.Linear) else 0]
                nn.init.normal_(parameter, std=1.5 * fan_in**-0.5)
            elif name == "bias":
                nn.init.normal_(parameter, std=0.3)
    return model


def without_dropout(model: nn.Module) -> nn.Module:
    """For tests in training mode that compare two runs."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def output(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The logits, or what the toy returns; with gradients where the parameters want them."""
    out = model(**inputs)
    return out if isinstance(out, torch.Tensor) else out[0]


def frozen_output(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return output(model, inputs).clone()


class Logits(nn.Module):
    """For tracers and exporters that want one tensor in and one out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.model(x)
        return out if isinstance(out, torch.Tensor) else out[0]


def gradients(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The gradient of every parameter that wants one, from a loss of order one."""
    model.zero_grad()
    output(model, inputs).square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_same(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Assert that tensors, or dictionaries of tensors, agree to ``tolerance`` of the largest expected value.

    The expected values must be of order one: with tiny ones, every activation is nearly linear and a wrong one
    passes.
    """
    found, expected = _as_dict(found), _as_dict(expected)
    assert found.keys() == expected.keys()
    scale = max(float(tensor.detach().abs().max()) for tensor in expected.values())
    assert 0.05 < scale < 1e4, f"values of size {scale:.1e} prove nothing"
    for name, tensor in expected.items():
        difference = float((found[name].detach() - tensor.detach()).abs().max())
        assert difference <= tolerance * scale, f"{name} differs by {difference:.1e} (largest value {scale:.1e})"


def _as_dict(values: Any) -> dict[str, torch.Tensor]:
    return {"output": values} if isinstance(values, torch.Tensor) else dict(values)
