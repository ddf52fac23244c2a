"""Joins WHAT, WHO and WHERE: inspect, plan, apply, undo."""

from gelu_patch.patching.act2fn import patch_act2fn
from gelu_patch.patching.persist import current_plan, load_patched, load_sidecar, save_patched
from gelu_patch.patching.plan import Change, Plan, Rejection
from gelu_patch.patching.planner import plan_patch
from gelu_patch.patching.ranks import check_ranks
from gelu_patch.patching.selectors import SAME_MATHEMATICS
from gelu_patch.patching.transaction import Patch, apply_plan, patch_model, unpatch_model

__all__ = [
    "SAME_MATHEMATICS",
    "Change",
    "Patch",
    "Plan",
    "Rejection",
    "apply_plan",
    "check_ranks",
    "current_plan",
    "load_patched",
    "load_sidecar",
    "patch_act2fn",
    "patch_model",
    "plan_patch",
    "save_patched",
    "unpatch_model",
]
