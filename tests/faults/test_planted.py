"""Planted faults: each breaks the product in one small way, and a named test must turn red.

Every row patches one function of the package with a wrong one, in a process of its own, and runs the test
that is there to notice. A row that stays green means that the test cannot fail.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _mutant(function: str) -> str:
    """Code that puts ``function`` in the place of GELU's, whichever kernel serves it."""
    return (
        "import gelu_patch.kernels.eager as m, dataclasses as d;"
        f"mutant = {function}; m._OPS['gelu'] = d.replace(m._OPS['gelu'], function=mutant);"
        "import gelu_patch.kernels.cpu.kernel as c; c._function = lambda name, found: mutant"
    )


# name: (code that plants the fault, the test that must fail)
FAULTS = {
    "wrong constant in the tanh formula": (
        "import gelu_patch.activations.gelu as m; m.CUBIC = 0.044",
        "tests/activations/test_formulas.py::test_formula_agrees_with_400_digits",
    ),
    "wrong derivative of quick GELU": (
        "from gelu_patch.activations import activations as a; import numpy as np;"
        "object.__setattr__(a.get('gelu_quick'), 'derivative', lambda x: np.ones_like(x))",
        "tests/activations/test_formulas.py::test_derivative_agrees_with_numeric_differentiation",
    ),
    "erf computed where tanh is asked for": (
        "import gelu_patch.kernels.eager as m, dataclasses as d;"
        "m._OPS['gelu_tanh'] = d.replace(m._OPS['gelu_tanh'], function=m.gelu)",
        "tests/contracts/test_kernels.py::test_values",
    ),
    "ReLU computed where GELU is asked for": (
        _mutant("m.F.relu"),
        "tests/patching/test_transaction.py::test_real_architectures",
    ),
    "GELU applied twice": (
        _mutant("lambda x: m.gelu(m.gelu(x))"),
        "tests/patching/test_transaction.py::test_patch_and_revert",
    ),
    "ReLU under PEFT": (_mutant("m.F.relu"), "tests/traps/test_peft.py"),
    "no activation between quantised Linears": (_mutant("lambda x: 1.0 * x"), "tests/traps/test_quantisation.py"),
    "GELU applied twice in an exported graph": (_mutant("lambda x: m.gelu(m.gelu(x))"), "tests/traps/test_onnx.py"),
    "quick GELU where erf is meant, with forward-mode derivatives": (
        _mutant("lambda x: x * (1.702 * x).sigmoid()"),
        "tests/traps/test_autodiff.py",
    ),
    "ranks that are said to agree": (
        "import gelu_patch.patching.ranks as m, types;m.current_plan = lambda model: types.SimpleNamespace(changes=())",
        "tests/patching/test_ranks.py::test_names_the_ranks_and_the_first_site_that_differs",
    ),
    "a step in flight that is not seen": (
        "import gelu_patch.patching.inflight as m; m._FRAME = m._NODE = None",
        "tests/patching/test_inflight.py",
    ),
    "a kernel that keeps more than it declares": (
        "import gelu_patch.kernels.eager as m, dataclasses as d;"
        "f = lambda x: x * (x * 1.702).sigmoid();"
        "m._OPS['gelu_quick'] = d.replace(m._OPS['gelu_quick'], function=f)",
        "tests/contracts/test_kernels.py::test_saved_tensors_are_as_declared",
    ),
    "a check that never differentiates": (
        "import gelu_patch.checking.kernel as m; real = m._Try.compute\n"
        "def compute(self, x):\n"
        "    slope = m._quietly(self.activation.derivative)\n"
        "    return slope(x.double().numpy()) if self.direction == 'backward' else real(self, x)\n"
        "m._Try.compute = compute",
        "tests/checking/test_kernel.py::test_a_planted_fault_is_found_and_placed",
    ),
    "a check that passes over what is not finite": (
        "import gelu_patch.checking.tally as m, numpy as np; real = m.Tally.add;"
        "m.Tally.add = lambda self, truth, found: real(self, truth, np.where(np.isfinite(found), found, truth.y))",
        "tests/checking/test_kernel.py::test_a_planted_fault_is_found_and_placed",
    ),
    "a long check that leaves the negative numbers out": (
        "import gelu_patch.checking.inputs as m;"
        "m.every_float32 = lambda: (m._patterns_from(start) for start in range(0, m.PATTERNS // 2, m.CHUNK))",
        "tests/checking/test_inputs.py::test_the_sweep_skips_nothing",
    ),
    "a wrong constant in a Triton formula": (
        "import os; os.environ['TRITON_INTERPRET'] = '1'\n"
        "import gelu_patch.activations.gelu as m; real, m.CUBIC = m.CUBIC, 0.0446\n"
        "import gelu_patch.kernels.triton.formulas; m.CUBIC = real",
        "tests/kernels/triton/test_values.py::test_every_input_is_within_the_declared_bound",
    ),
    "a self-check that passes erf for tanh": (
        "import gelu_patch.kernels.cublaslt as m; m._ABSOLUTE = 1e-3",
        "tests/blocks/test_gpu_paths.py::test_the_erf_of_a_cpu_does_not_pass_for_tanh",
    ),
    "sums of a gradient that was changed on its way": (
        "import gelu_patch.kernels.autograd as m\n"
        "def take(self, grad):\n"
        "    given, self._given = self._given, None\n"
        "    return given and given[2]\n"
        "m.Sums.take = take",
        "tests/blocks/test_gpu_paths.py::test_sums_of_another_gradient_are_not_taken",
    ),
    "a gated product that forgets its activation": (
        "import gelu_patch.blocks.gated as m; m.Pending.__mul__ = lambda self, other: self.gate * other",
        "tests/blocks/test_gpu_paths.py::test_inference_and_training_are_those_of_the_model",
    ),
    "a recipe that ignores the version": (
        "import gelu_patch.kernels.recompute as m\n"
        "m._Recording.find = lambda self, tensor: self._recipes.get(tensor.untyped_storage()._cdata)",
        "tests/kernels/test_recompute.py::test_what_the_next_operation_gets",
    ),
    "a recipe found by the address of freed memory": (
        "import gelu_patch.kernels.recompute as m, types; real = m._Recipe.__init__\n"
        "def init(self, output, *rest):\n"
        "    real(self, output, *rest)\n"
        "    self.storage = types.SimpleNamespace(cdata=output.data_ptr(), expired=lambda: False)\n"
        "m._Recipe.__init__ = init\n"
        "m._Recording.find = lambda self, tensor: self._recipes.get(tensor.data_ptr())",
        "tests/kernels/test_recompute.py::test_a_tensor_at_the_address_of_a_dead_one_is_not_taken_for_it",
    ),
    "a saved tensor that was changed in place": (
        "import gelu_patch.kernels.recompute as m; m._Kept.restore = lambda self: self._tensor",
        "tests/kernels/test_recompute.py::test_what_is_changed_in_place_after_it_was_saved_is_an_error_as_in_pytorch",
    ),
    "saved-tensor hooks left behind by an exception": (
        "import gelu_patch.kernels.recompute as m; real = m.leave\n"
        "m.leave = lambda module, args, output: None if output is None else real(module, args, output)",
        "tests/kernels/test_recompute.py::test_an_exception_in_the_forward_takes_the_hooks_off",
    ),
    "saved-tensor hooks on top of somebody else's": (
        "import gelu_patch.kernels.recompute as m; m._may_record = lambda: True",
        "tests/kernels/test_recompute.py::test_hooks_of_somebody_else_are_left_alone",
    ),
    "forward hooks that stay after a revert": (
        "import gelu_patch.patching.recording as m; m.forget = lambda module: None",
        "tests/patching/test_memory.py::test_the_hooks_are_there_while_it_is_patched_and_not_a_moment_longer",
    ),
    "few bits that stand for other levels": (
        "import gelu_patch.activations.fewbit as m; s = m.STEPS['gelu_fewbit'];"
        "object.__setattr__(s, 'codes', s.codes[::-1])",
        "tests/activations/test_fewbit.py::test_the_declared_error_is_the_measured_one",
    ),
    "a dropped owner of a shared activation": (
        "import gelu_patch.sites.find as m; real = m._site;m._site = lambda group: real(group[:1])",
        "tests/sites/test_find.py::test_sites_and_owners",
    ),
    "named_modules without duplicates": (
        "import torch.nn as nn; real = nn.Module.named_modules;"
        "nn.Module.named_modules = lambda self, memo=None, prefix='', remove_duplicate=True:"
        " real(self, memo, prefix, True)",
        "tests/sites/test_find.py::test_a_shared_parent_has_all_its_names",
    ),
    "a revert that does nothing": (
        "from gelu_patch.patching import Patch; Patch.revert = lambda self: None",
        "tests/patching/test_transaction.py::test_patch_and_revert",
    ),
    "a revert that builds equal objects instead of the identical ones": (
        "import gelu_patch.patching.transaction as m, copy; real = m._restore;"
        "m._restore = lambda owner, current, original: real(owner, current, copy.copy(original))",
        "tests/patching/test_transaction.py::test_real_architectures",
    ),
    "no roll-back": (
        "import gelu_patch.patching.transaction as m\n"
        "def commit(replacements):\n"
        "    for r in replacements: r.owner.put(r.new)\n"
        "m._commit = commit",
        "tests/patching/test_transaction.py::test_a_failure_in_the_middle_leaves_the_model_as_it_was",
    ),
    "hooks left behind": (
        "import gelu_patch.patching.handover as m; m._HOOKS = ()",
        "tests/patching/test_transaction.py::test_hooks_stay_on_the_site",
    ),
    "a clipped GELU taken for GELU": (
        "import gelu_patch.activations.fingerprint as m, numpy as np;m._grid = lambda: np.linspace(-4.0, 4.0, 101)",
        "tests/activations/test_recognise.py::test_what_is_no_registered_activation_is_left_alone_with_a_reason",
    ),
    "GELU calls not seen in a run": (
        "import gelu_patch.sites.trace as m; m._SUSPECTS.clear()",
        "tests/sites/test_trace.py::test_every_execution_is_that_of_a_site",
    ),
    "only the first expression of a class": (
        "import gelu_patch.sites.inline.owner as m; real = m.expressions_of; m.expressions_of = lambda k: real(k)[:1]",
        "tests/sites/test_trace.py::test_every_execution_is_that_of_a_site",
    ),
    "a rewritten method without its decorators": (
        "import gelu_patch.sites.inline.methods as m; m._decorated = lambda layers, new: new",
        "tests/patching/test_transaction.py::test_patch_and_revert",
    ),
    "a copy that is silently unpatched": (
        "import gelu_patch.sites.inline.rewriting as m; m._rebuild = lambda stock, keys: stock.__new__(stock)",
        "tests/sites/inline/test_rewriting.py::test_a_copy_stays_patched_and_can_be_unpatched",
    ),
    "a rewritten method that forgets a flavour": (
        "import gelu_patch.sites.inline.calls as m; m._callee = lambda node, constants: m.ast.unparse(node.func)",
        "tests/sites/inline/test_rewriting.py::test_one_of_two_expressions",
    ),
    "a proof that looks at nothing": (
        "import gelu_patch.patching.transaction as m; m.prove = lambda *a: None",
        "tests/patching/test_proof.py",
    ),
    "changed mathematics saved as a plain checkpoint": (
        "import gelu_patch.patching.saving as m; m.name_in_config = lambda model: ()",
        "tests/patching/test_persist.py::test_changed_mathematics_fails_loudly_in_plain_transformers_and_loads_here",
    ),
    "a config that names what only some of its sites run": (
        "import gelu_patch.patching.config_names as m;"
        "m.current_activations = lambda model: dict.fromkeys(['site'], model.config.hidden_act)"
        " if next(model.parameters()).is_meta else {'site': 'relu'}",
        "tests/patching/test_config_names.py::test_no_name_for_a_part_of_what_a_field_drives",
    ),
    "hidden weights without the message": (
        "import gelu_patch.patching.saving as m; m.WEIGHTS_KEY = 'note'",
        "tests/patching/test_persist.py::test_changed_mathematics_fails_loudly_in_plain_transformers_and_loads_here",
    ),
    "an edited sidecar that is believed": (
        "import gelu_patch.patching.sidecar as m; m.digest = lambda content: content.get('digest')",
        "tests/patching/test_sidecar.py::test_an_edited_file",
    ),
    "a copy that saves its original": (
        "from gelu_patch.patching.hooks import Hook; Hook.__deepcopy__ = lambda self, memo: self",
        "tests/patching/test_hooks.py::test_a_copy_saves_itself_and_not_its_original",
    ),
    "a patched part that its model does not hear of": (
        "import gelu_patch.patching.hooks as m; m.guard = lambda module: None",
        "tests/patching/test_hooks.py::test_a_model_of_which_only_a_part_was_patched_is_not_saved_as_stock",
    ),
    "a patch_act2fn block that changes a checkpoint again": (
        "import contextlib, gelu_patch.patching.loading as m; m.look_ups_give = contextlib.nullcontext",
        "tests/patching/test_loading.py::test_load_patched_gives_what_was_saved_whatever_the_block_says",
    ),
    "an adapter on any base": (
        "import gelu_patch.patching.adapters as m; m.check = lambda *arguments: None",
        "tests/patching/test_adapters.py::test_loading_on_other_mathematics_warns_and_the_advice_works",
    ),
    "Wald instead of Tango": (
        "import gelu_patch.stats.paired as m, math\n"
        "def wald(b, c, n, level=0.95):\n"
        "    d = (c - b) / n; w = 1.96 * math.sqrt(max(b + c - (b - c) ** 2 / n, 0)) / n\n"
        "    return (d - w, d + w)\n"
        "m.tango_interval = wald",
        "tests/stats/test_paired.py",
    ),
    "an unpaired order of the arms": (
        "import gelu_patch.timing.latency as m; m._CONTROL_IS = None; real = m.paired_ratio;"
        "m.paired_ratio = lambda base, other, **k: real(base, base, **k)",
        "tests/timing/test_latency.py::test_a_planted_delay_is_found",
    ),
    "training in another order for each arm": (
        "import gelu_patch.training.order as m, random; real = m.epoch_steps;"
        "m.epoch_steps = lambda lengths, recipe, epoch:"
        " random.SystemRandom().sample(s := real(lengths, recipe, epoch), len(s))",
        "tests/training/test_loop.py",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(name, tmp_path):
    plant, victim = FAULTS[name]
    assert (ROOT / victim.split("::")[0]).is_file(), f"{victim} does not exist"
    (tmp_path / "planted_fault.py").write_text(plant + "\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "planted_fault", victim],
        cwd=ROOT,
        env=dict(__import__("os").environ, PYTHONPATH=f"{tmp_path}:{ROOT}"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    # 1: tests ran and some failed. Anything else (2: broken collection, 5: none found) proves nothing.
    assert run.returncode == 1, f"{victim} stayed green with the fault, or did not run:\n{run.stdout[-2000:]}"
