"""The public names, written once: type checkers read them here, and ``__init__.py`` imports them lazily."""

from gelu_patch.activations import Activation as Activation
from gelu_patch.activations import register_activation as register_activation
from gelu_patch.checking import KernelCheck as KernelCheck
from gelu_patch.checking import PatchCheck as PatchCheck
from gelu_patch.checking import check_kernel as check_kernel
from gelu_patch.checking import check_patch as check_patch
from gelu_patch.errors import GeluPatchError as GeluPatchError
from gelu_patch.kernels import Kernel as Kernel
from gelu_patch.kernels import register_kernel as register_kernel
from gelu_patch.patching import Patch as Patch
from gelu_patch.patching import Plan as Plan
from gelu_patch.patching import apply_plan as apply_plan
from gelu_patch.patching import check_ranks as check_ranks
from gelu_patch.patching import load_patched as load_patched
from gelu_patch.patching import load_sidecar as load_sidecar
from gelu_patch.patching import patch_act2fn as patch_act2fn
from gelu_patch.patching import patch_model as patch_model
from gelu_patch.patching import plan_patch as plan_patch
from gelu_patch.patching import save_patched as save_patched
from gelu_patch.patching import unpatch_model as unpatch_model
from gelu_patch.reporting.outcome import compare as compare
from gelu_patch.sites import Census as Census
from gelu_patch.sites import inspect_model as inspect_model
from gelu_patch.tasks.evaluate import evaluate_model as evaluate_model
from gelu_patch.timing import benchmark as benchmark
from gelu_patch.training.loop import finetune as finetune
