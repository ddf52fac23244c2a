"""Swap every GELU of a model for the same mathematics by a better kernel, and undo it exactly.

python examples/swap_and_undo.py
"""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import gelu_patch as gp

# GPT-2's shape with random weights; with a network, GPT2LMHeadModel.from_pretrained("gpt2") is the same.
model = GPT2LMHeadModel(GPT2Config(n_layer=4)).eval()
inputs = {"input_ids": torch.randint(0, 50257, (2, 32))}

print(gp.inspect_model(model, inputs))

with torch.no_grad():
    before = model(**inputs).logits
    patch = gp.patch_model(model, "gelu_fused")
    print(patch)
    print(f"largest difference in the logits: {(model(**inputs).logits - before).abs().max():.1e}")

    patch.revert()
    print(f"bit-equal after the undo: {torch.equal(model(**inputs).logits, before)}")
