"""Change the mathematics of some layers only, and see what the plan leaves alone and why.

python examples/swap_some_layers.py
"""

import torch
from transformers import BertConfig, BertForMaskedLM

import gelu_patch as gp

model = BertForMaskedLM(BertConfig(hidden_size=128, num_attention_heads=4, num_hidden_layers=6)).eval()
inputs = {"input_ids": torch.randint(0, 30522, (2, 32))}
with torch.no_grad():
    before = model(**inputs).logits

# A plan is data: print it, save it, send it, apply it later.
plan = gp.plan_patch(model, "relu", where="encoder.layer.[0-2].*")
print(plan)

# As a context manager the patch undoes itself; a mapping gives each site its own target.
for target in ("gelu_fused", "gelu_tanh", {"encoder.layer.[0-2].*": "relu", "*": "gelu_fused"}):
    with gp.patch_model(model, target) as patch, torch.no_grad():
        change = (model(**inputs).logits - before).abs().max()
        print(f"{patch.plan.target:<45} {len(patch)} sites, largest change of a logit {change:.1e}")
