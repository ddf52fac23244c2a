"""WHERE a model uses an activation: finding sites, and proving by a run that none was missed."""

from gelu_patch.sites.base import Owner, Site
from gelu_patch.sites.find import check_model, find_sites
from gelu_patch.sites.finders import Finder, finders, register_finder
from gelu_patch.sites.inline import Expression
from gelu_patch.sites.inspect import Census, inspect_model

__all__ = [
    "Census",
    "Expression",
    "Finder",
    "Owner",
    "Site",
    "check_model",
    "find_sites",
    "finders",
    "inspect_model",
    "register_finder",
]
