"""GELU that is code in a method, not an object of the model: ``F.gelu(self.fc1(x))``, ``gelu(x)``, formulas."""

from gelu_patch.sites.inline.owner import InlineOwner
from gelu_patch.sites.inline.reading import Expression

__all__ = ["Expression", "InlineOwner"]
