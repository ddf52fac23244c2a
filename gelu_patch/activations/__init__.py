"""WHAT is computed: activations, their mathematics in float64, and recognising them in a model.

Adding an activation is one file with one ``register_activation`` call, imported below.
"""

from gelu_patch.activations import fewbit, gelu, rectifiers  # importing a module registers its activations
from gelu_patch.activations.base import Activation, ApproximateDerivative, Distance, activations, register_activation

__all__ = [
    "Activation",
    "ApproximateDerivative",
    "Distance",
    "activations",
    "fewbit",
    "gelu",
    "rectifiers",
    "register_activation",
]
