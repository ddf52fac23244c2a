"""Joins WHAT, WHO and WHERE: inspect, plan, apply, undo, save, load."""

from gelu_patch.patching.act2fn import patch_act2fn
from gelu_patch.patching.config_names import stock_config
from gelu_patch.patching.current import current_plan, fallen_back
from gelu_patch.patching.loading import apply_sidecar, class_named_in, load_patched
from gelu_patch.patching.persist import save_patched
from gelu_patch.patching.plan import Change, Plan, Rejection
from gelu_patch.patching.planner import plan_patch
from gelu_patch.patching.ranks import check_ranks
from gelu_patch.patching.saving import variant_of
from gelu_patch.patching.selectors import SAME_MATHEMATICS
from gelu_patch.patching.sidecar import Sidecar, load_sidecar
from gelu_patch.patching.transaction import Patch, apply_plan, patch_model, unpatch_model

__all__ = [
    "SAME_MATHEMATICS",
    "Change",
    "Patch",
    "Plan",
    "Rejection",
    "Sidecar",
    "apply_plan",
    "apply_sidecar",
    "check_ranks",
    "class_named_in",
    "current_plan",
    "fallen_back",
    "load_patched",
    "load_sidecar",
    "patch_act2fn",
    "patch_model",
    "plan_patch",
    "save_patched",
    "stock_config",
    "unpatch_model",
    "variant_of",
]
