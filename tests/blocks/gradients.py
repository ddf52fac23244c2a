"""All gradients of one training step, by name."""

import torch


def gradients(model, x, *, autocast=False, of_x=True):
    """Return the gradients of the parameters, and that of ``x`` under its name; the model keeps none."""
    leaf = x.detach().clone().requires_grad_(of_x)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = model(leaf)
    out.square().sum().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()} | {"x": leaf.grad}
    model.zero_grad(set_to_none=True)
    return found
