"""Run inside of an environment that has only gelu-patch: patches a small BERT and prints what came of it as JSON."""

from __future__ import annotations

import json
import sys

before = set(sys.modules)
import gelu_patch as gp  # noqa: E402

heavy = sorted({"torch", "transformers"} & (set(sys.modules) - before))

import torch  # noqa: E402
from transformers import BertConfig, BertForMaskedLM  # noqa: E402

small = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 100}
torch.manual_seed(0)
model = BertForMaskedLM(BertConfig(num_hidden_layers=2, **small)).eval()
ids = torch.arange(16).reshape(1, 16)
with torch.no_grad():
    stock = model(ids).logits
    with gp.patch_model(model, "gelu_fused", example_inputs={"input_ids": ids}) as patch:
        difference = float((model(ids).logits - stock).abs().max())
    undone = torch.equal(model(ids).logits, stock)

print(
    json.dumps(
        {
            "home": gp.__file__,
            "version": gp.__version__,
            "imported with it": heavy,
            "sites": len(patch),
            "kernels": sorted({change.kernel for change in patch.replaced}),
            "difference": difference,
            "undone": undone,
        }
    )
)
