"""Planted faults: each breaks the product in one small way, and a named test must turn red.

Every row patches one function of the package with a wrong one, in a process of its own, and runs the test
that is there to notice. A row that stays green means that the test cannot fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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
    "an ablation whose intervals are those of one comparison alone": (
        "import gelu_patch.reporting.comparing.ablation as m;m.holm_levels = lambda p, alpha: [alpha] * len(p)",
        "tests/reporting/comparing/test_ablation.py::test_one_of_many_that_is_better_by_luck_is_not_told_apart",
    ),
    "an ablation with the first arm as its baseline, whatever was named": (
        "import gelu_patch.reporting.comparing.ablation as m; real = m.ablation_report;"
        "m.ablation_report = lambda title, arms, baseline, **k: real(title, arms, baseline=next(iter(arms)), **k)",
        "tests/reporting/comparing/test_ablation.py::test_the_baseline_is_the_one_that_was_named",
    ),
    "a diverged arm that is ranked by the seeds that did not": (
        "import gelu_patch.reporting.comparing.ablation as m; real = m._summary;"
        "m._summary = lambda values, runs: real(values, runs) | {'diverged': 0}",
        "tests/reporting/comparing/test_ablation.py::test_a_diverged_arm_is_last_and_compared_with_none_and_the_others_stay",
    ),
    "a finished run of another recipe that is taken for this one": (
        "import gelu_patch.runs.seeds as m; m.differences = lambda there, here: []",
        "tests/runs/test_ablation.py::test_a_folder_with_another_recipe_is_refused_before_anything_is_run",
    ),
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
    "a first launch that may be the other form": (
        "import os; os.environ['TRITON_INTERPRET'] = '1'\n"
        "import gelu_patch.kernels.triton.devices as m; m._ALLOWED = 1e-3",
        "tests/kernels/triton/test_values.py::test_the_first_launch_is_believed_only_when_it_is_right",
    ),
    "a default device that is taken for a listener": (
        "import gelu_patch.blocks.guards as m; m._is_intercepted = lambda: True",
        "tests/blocks/test_block.py::test_a_default_device_is_no_reason",
    ),
    "sums of a gradient that was changed on its way": (
        "import gelu_patch.kernels.sums as m\n"
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
    "a down projection that is taken along whatever is on it": (
        "import gelu_patch.blocks.guards as m; m.may_take_down = lambda *_: True",
        "tests/blocks/test_down.py::test_what_is_put_on_the_down_projection_later_is_run",
    ),
    "a down projection that forgets its activation": (
        "import gelu_patch.blocks.down as m; m.Postponed.through = lambda self, down: down(self.z)",
        "tests/blocks/test_down.py::test_gradients_have_the_bits_they_had",
    ),
    "a down projection that counts what gradient checkpointing counts": (
        "import gelu_patch.kernels.recompute as m; m.is_recording = lambda: True",
        "tests/blocks/test_down.py::test_gradient_checkpointing_keeps_what_it_kept",
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
        "tests/kernels/test_recompute_surroundings.py::test_an_exception_in_the_forward_takes_the_hooks_off",
    ),
    "saved-tensor hooks on top of somebody else's": (
        "import gelu_patch.kernels.recompute as m; m._may_record = lambda: True",
        "tests/kernels/test_recompute_surroundings.py::test_hooks_of_somebody_else_are_left_alone",
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
    "a false pass at the margin by Wald's limit": (
        "import gelu_patch.stats.paired as m, numpy as np\n"
        "def wald(b, c, n, *, z=m.Z_95):\n"
        "    b, c = np.asarray(b, float), np.asarray(c, float)\n"
        "    return (c - b) / n - z * np.sqrt(np.maximum(b + c - (c - b) ** 2 / n, 0)) / n\n"
        "m.tango_lower = wald",
        "tests/stats/test_grids.py::test_accuracy_at_the_margin",
    ),
    "a margin with its sign turned round": (
        "import gelu_patch.reporting.comparing.states as m; real = m.quality_state\n"
        "m.quality_state = lambda interval, margin, **k: real(interval, -margin, **k)\n"
        "import gelu_patch.reporting.comparing.quality as q; q.quality_state = m.quality_state",
        "tests/reporting/comparing/test_quality.py::test_the_minimum_is_a_sharp_edge",
    ),
    "a loss compared with the wrong sign": (
        "import gelu_patch.reporting.comparing.quality as m; real = m.nll_result\n"
        "m.nll_result = lambda before, after, policy, **k: real(after, before, policy, **k)",
        "tests/reporting/comparing/test_language_models.py::test_a_worse_loss_must_not_ship",
    ),
    "differences that rest on three examples": (
        "import gelu_patch.stats.bootstrap as m; m.MINIMUM_EFFECTIVE_COUNT = 0.0",
        "tests/stats/test_extremes.py::test_ten_examples_must_carry_the_difference",
    ),
    "a percentile bootstrap in the place of the studentised one": (
        "import gelu_patch.stats.bootstrap as m, numpy as np\n"
        "real = m.t_statistics\n"
        "m.t_statistics = lambda centre, square, n: -np.sqrt(n) * centre",
        "tests/stats/test_grids.py::test_loss_at_the_margin",
    ),
    "a bootstrap of the arms apart": (
        "import gelu_patch.stats.counts as m, numpy as np\n"
        "real = m._difference\n"
        "def apart(sums, n, metric):\n"
        "    before, after = m._arms(sums, n)\n"
        "    return metric(after) - np.roll(metric(before), 1)\n"
        "m._difference = apart",
        "tests/stats/test_counts.py::test_the_interval_is_that_of_scikit_learn_on_resampled_examples",
    ),
    "F1 believed with few flips": (
        "import gelu_patch.stats.counts as m; m.MINIMUM_DISCORDANT = 0",
        "tests/reporting/comparing/test_gates.py::test_few_discordant_examples_refuse_f1_and_say_how_many_would_do",
    ),
    "groups that are forgotten": (
        "import gelu_patch.reporting.comparing.quality as m; m._groups = lambda predictions: None",
        "tests/reporting/comparing/test_gates.py::test_groups_shrink_the_counts_of_accuracy",
    ),
    "the examples of all seeds in one pool": (
        "import gelu_patch.reporting.comparing.seed_quality as m, gelu_patch.stats.seeds as s, dataclasses\n"
        "def pooled(one, other, **k):\n"
        "    found = s.seed_paired_t(one, other, **k); half = 1e-4\n"
        "    return dataclasses.replace(found, interval=(found.mean - half, found.mean + half))\n"
        "m.seed_paired_t = pooled",
        "tests/reporting/comparing/test_seed_arms.py::test_the_interval_is_students_over_the_seeds_and_not_over_the_examples",
    ),
    "a diverged seed that is dropped": (
        "import gelu_patch.reporting.comparing.seed_quality as m; real = m.seed_results\n"
        "m.seed_results = lambda pairs, policy: real([p for p in pairs if p.whole], policy)\n"
        "import gelu_patch.reporting.comparing.compare as c; c.seed_results = m.seed_results",
        "tests/reporting/comparing/test_seed_arms.py::test_a_diverged_run_is_shown_and_not_dropped",
    ),
    "the best of many without a correction": (
        "import gelu_patch.reporting.comparing.compare as m; m.holm = lambda p: list(p)",
        "tests/reporting/comparing/test_gates.py::test_several_candidates_are_corrected_by_holm",
    ),
    "a failed clock before a proven harm": (
        "import gelu_patch.reporting.comparing.verdict as m; real = m._first_rule_that_applies\n"
        "def first(evidence):\n"
        "    broken = [r for r in evidence.latency if r.state == 'INVALID']\n"
        "    return ('INVALID', 'clock') if broken else real(evidence)\n"
        "m._first_rule_that_applies = first",
        "tests/reporting/comparing/test_verdict.py::test_which_rule_wins",
    ),
    "a metric that is missing and passes": (
        "import gelu_patch.reporting.policy.margins as m; real = m.make_policy\n"
        "def lax(*a, **k):\n"
        "    policy = real(*a, **k); policy.required = []; return policy\n"
        "import gelu_patch.reporting.policy.policy_file as f; f.make_policy = lax",
        "tests/cli/test_compare.py::test_a_missing_metric_is_no_pass",
    ),
    "a margin that was changed afterwards and passes for the old one": (
        "import gelu_patch.reporting.policy.policy_file as m; m.read_fixed_policy = lambda folder: None",
        "tests/reporting/policy/test_policy_file.py::test_a_margin_changed_afterwards_is_on_the_banner",
    ),
    "an arm that is compared with itself": (
        "import gelu_patch.timing.analysis as m; real = m.paired_ratio;"
        "m.paired_ratio = lambda base, other, **k: real(other, other, **k)",
        "tests/timing/test_protocol.py::test_a_planted_delay_of_5_percent_is_found",
    ),
    "arms that run one after the other": (
        "import gelu_patch.timing.latency as m\n"
        "def rounds(order, generator):\n"
        "    while True: yield order\n"
        "m._rounds = rounds",
        "tests/timing/test_latency.py::test_every_round_runs_every_arm_once_in_random_order",
    ),
    "an A/A control that is not listened to": (
        "import gelu_patch.reporting.comparing.states as m; m.control_holds = lambda control, margin: True;"
        "import gelu_patch.timing.analysis as a; a.control_holds = m.control_holds",
        "tests/timing/test_protocol.py::test_a_control_that_misses_1_is_invalid_whatever_the_arms_say",
    ),
    "one run of the baseline for the arms and for the control": (
        "import gelu_patch.timing.analysis as m; m._baseline = lambda samples, arm: m.np.asarray(samples[m.STOCK])",
        "tests/timing/test_analysis.py::test_an_arm_is_compared_with_both_runs_of_the_baseline",
    ),
    "garbage collected while the clock runs": (
        "import contextlib, gelu_patch.timing.latency as m; m.without_garbage_collection = contextlib.nullcontext",
        "tests/timing/test_latency.py::test_garbage_collection_is_off_while_timing_and_on_again_after_an_error",
    ),
    "no warm-up": (
        "import gelu_patch.timing.latency as m; m._warm_up = lambda timed: 0",
        "tests/timing/test_latency.py::test_a_slow_beginning_is_not_measured",
    ),
    "a warm-up of one window": (
        "import gelu_patch.timing.latency as m; m.WARMUP_TOLERANCE = float('inf')",
        "tests/timing/test_latency.py::test_a_slow_beginning_is_not_measured",
    ),
    "a device that is not waited for": (
        "import gelu_patch.timing.latency as m; real = m.measure_interleaved;"
        "m.measure_interleaved = lambda *a, **k: real(*a, **k | {'synchronize': lambda: None})",
        "tests/timing/test_latency.py::test_the_device_is_waited_for_inside_of_the_time",
    ),
    "processes that are taken for one": (
        "import gelu_patch.stats.timing as m; m._spread_out = lambda logs, *rest: [m.np.concatenate(logs)]",
        "tests/stats/test_timing.py::test_three_processes_cover_equal_arms_as_often_as_promised",
    ),
    "an energy counter that never wraps": (
        "import gelu_patch.energy as m; real = m._number;"
        "m._number = lambda path: -1 if path.name.startswith('max') else real(path)",
        "tests/test_energy.py::test_a_counter_that_starts_again",
    ),
    "energy that cannot be read counted as nothing": (
        "import gelu_patch.energy as m; m._rapl = lambda root: m._Rapl([])",
        "tests/test_energy.py::test_no_counter",
    ),
    "a limit that still has its activations": (
        "import torch.nn as nn, types, gelu_patch.timing.arms as m; m.nn = types.SimpleNamespace(Identity=nn.GELU)",
        "tests/timing/test_arms.py",
    ),
    "chance that depends on the process": (
        "import gelu_patch.training.step as m, os; from accelerate.utils import set_seed;"
        "m.set_randomness = lambda *place: set_seed(int.from_bytes(os.urandom(4), 'big'))",
        "tests/training/test_resume.py::test_stopped_and_gone_on_is_the_same_bit_by_bit",
    ),
    "random states that are left as they are": (
        "import gelu_patch.training.step as m; m.set_randomness = lambda *place: None",
        "tests/training/test_resume.py::test_stopped_and_gone_on_is_the_same_bit_by_bit",
    ),
    "an optimizer that begins anew": (
        "import gelu_patch.training.state as m; m._with_state = lambda model, optimizer, state: optimizer.state_dict()",
        "tests/training/test_resume.py::test_stopped_and_gone_on_is_the_same_bit_by_bit",
    ),
    "a manifest that nobody reads": (
        "import gelu_patch.training.checkpoints as m; m.Checkpoint.check = lambda self: None",
        "tests/training/test_checkpoints.py::test_a_damaged_one_is_passed_over_and_named",
    ),
    "old checkpoints removed before the new one has its name": (
        "import gelu_patch.training.checkpoints as m; real = m.Checkpoints._fill\n"
        "def fill(self, directory, content, step):\n"
        "    [m.shutil.rmtree(each.path) for each in self._all()[:-1]]\n"
        "    real(self, directory, content, step)\n"
        "m.Checkpoints._fill = fill",
        "tests/training/test_checkpoints.py::test_a_full_disk_costs_the_new_checkpoint_only",
    ),
    "a checkpoint under its own name while it is written": (
        "import gelu_patch.training.checkpoints as m; real = m.Checkpoints._temporary\n"
        "m.Checkpoints._temporary = lambda self, path, why: path if why == 'new' else real(self, path, why)",
        "tests/training/test_checkpoints.py",
    ),
    "a checkpoint of any run": (
        "import gelu_patch.training.saving as m; m.check_same_run = lambda *a: None",
        "tests/training/test_resume.py::test_a_checkpoint_of_another_run_is_refused_with_the_difference",
    ),
    "another order of the data on each rank": (
        "import gelu_patch.training.order as m, os; real = m.epoch_steps\n"
        "def steps(lengths, recipe, epoch, **k):\n"
        "    seed = recipe.seed + int(os.environ.get('RANK', 0))\n"
        "    return real(lengths, recipe.model_copy(update={'seed': seed}), epoch, **k)\n"
        "m.epoch_steps = steps\n"
        # The job's processes do not load pytest's plugins.
        "import sys, pathlib; here = pathlib.Path(__file__); (here.parent / 'sitecustomize.py').write_text("
        "'import os\\nif \"RANK\" in os.environ: import planted_fault\\n')\n"
        "os.environ['PYTHONPATH'] = f'{here.parent}:{os.environ[\"PYTHONPATH\"]}'",
        "tests/training/test_distributed.py::test_two_processes_have_the_losses_and_weights_of_one",
    ),
    "padding that is counted as a token": (
        "import gelu_patch.tasks.documents as m, torch; real = m.EncodedDocuments.batch\n"
        "def batch(self, indices):\n"
        "    found = real(self, indices); outside = found['attention_mask'] == 0\n"
        "    found['labels'][outside] = found['input_ids'][outside]; return found\n"
        "m.EncodedDocuments.batch = batch",
        "tests/tasks/test_language_models.py::test_causal_losses_are_those_of_single_tokens",
    ),
    "a token that is predicted in two windows": (
        "import gelu_patch.tasks.causal_lm as m; real = m.windows;"
        "m.windows = lambda n, **k: (w._replace(first=max(1, w.first - 1)) if w.begin else w for w in real(n, **k))",
        "tests/tasks/test_language_models.py::test_causal_losses_are_those_of_single_tokens",
    ),
    "a model that sees its own answers": (
        "from gelu_patch.tasks.causal_lm import CausalLanguageModelling as m; m.check = lambda *arguments: None",
        "tests/tasks/test_language_models.py::test_a_model_that_looks_ahead_is_no_decoder",
    ),
    "other tokens hidden in each process": (
        "import gelu_patch.tasks.masked_lm as m, random; chance = random.SystemRandom();"
        "m.hidden_places = lambda key, n, seed: set(chance.sample(range(n), max(1, round(0.15 * n))))",
        "tests/tasks/test_documents.py::test_masking_depends_on_the_id_and_the_seed_alone",
    ),
    "a shard that is lost": (
        "from gelu_patch.runs.shards import ShardStore as m; m.flush = lambda self: self._pending.clear()",
        "tests/runs/test_resume.py::test_interrupted_and_gone_on_with",
    ),
    "an answer that is lost on the way": (
        "from gelu_patch.tasks.answers import AnswerSheet as m; import numpy as np;"
        "m.complete = lambda self: self.of(np.flatnonzero(self.answered))",
        "tests/runs/test_resume.py::test_a_lost_answer_is_noticed",
    ),
    "an order that depends on the rank": (
        "from gelu_patch.runs.shards import ShardStore as m; real = m.add;"
        "m.add = lambda self, number, items, answers:"
        " real(self, number, items, {n: rows[::-1] if number % 2 else rows for n, rows in answers.items()})",
        "tests/runs/test_resume.py::test_the_shares_of_two_processes_make_the_whole",
    ),
    "a rerun with another patch that goes on": (
        "import gelu_patch.runs.identity as m; real = m.identity_of;"
        "fake = lambda prepared, **k: {n: v for n, v in real(prepared, **k).items() if n != 'patch'};"
        "import gelu_patch.runs.evaluate as e; e.identity_of = fake",
        "tests/runs/test_resume.py::test_another_evaluation_in_the_same_folder_is_refused",
    ),
    "a library that two processes choose differently": (
        "import contextlib, gelu_patch.tasks.inference as m; m.products_by_torch = contextlib.nullcontext",
        "tests/tasks/test_inference.py::test_products_are_by_one_library",
    ),
    "training in another order for each arm": (
        "import gelu_patch.training.order as m, random; real = m.epoch_steps;"
        "m.epoch_steps = lambda *a, **k: random.SystemRandom().sample(s := real(*a, **k), len(s))",
        "tests/training/test_loop.py",
    ),
    "a plot without words": (
        "import gelu_patch.reporting.rendering.plots.canvas as m; real = m._inline;"
        "m._inline = lambda svg, alt: real(svg, '')",
        "tests/reporting/rendering/test_html.py::test_every_plot_has_words_and_a_table",
    ),
    "a page that believes the names that it is given": (
        "import jinja2, functools; real = jinja2.Environment.__init__\n"
        "def init(self, *args, **options): real(self, *args, **{**options, 'autoescape': False})\n"
        "jinja2.Environment.__init__ = init",
        "tests/reporting/rendering/test_injection.py::test_the_page_has_no_element_of_theirs",
    ),
    "a margin on the better side": (
        "import gelu_patch.reporting.rendering.plots.quality as m; real = m._difference_panel\n"
        "def panel(axes, metric, comparisons):\n"
        "    turned = [c.model_copy(deep=True) for c in comparisons]\n"
        "    for r in (r for c in turned for r in c.results): r.margin = -r.margin\n"
        "    real(axes, metric, turned)\n"
        "m._difference_panel = panel",
        "tests/reporting/rendering/test_plots.py::test_the_margin_stands_on_the_side_of_worse",
    ),
    "a Markdown cell that ends its table": (
        "import gelu_patch.reporting.rendering.markdown as m; m.escape = str",
        "tests/reporting/rendering/test_injection.py::test_markdown_holds_no_html_link_image_or_heading_of_theirs",
    ),
    "a terminal that is steered by a name": (
        "import gelu_patch.reporting.rendering.console as m; m.printable_model = lambda model: model",
        "tests/reporting/rendering/test_injection.py::test_a_terminal_is_not_steered_and_markup_is_text",
    ),
    "a model card that forgets what others wrote": (
        "import gelu_patch.reporting.rendering.model_card as m; m._with_section = lambda text, section, path: section",
        "tests/reporting/rendering/test_model_card.py::test_the_rest_of_a_card_stays",
    ),
    "counting what a step keeps in a way that keeps a patch from keeping less": (
        "import gelu_patch.timing.memory as m; from torch.autograd.graph import saved_tensors_hooks\n"
        "m.observing = lambda see: saved_tensors_hooks(lambda t: (see(t), t)[1], lambda t: t)",
        "tests/runs/test_training_memory.py::test_stock_against_patched_in_the_report",
    ),
    "a launcher that is believed": (
        "import gelu_patch.training.launch as m; m._claims = lambda asked, environment: iter(())",
        "tests/training/test_launch.py::test_one_process_where_several_were_asked_for",
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
        env=dict(os.environ, PYTHONPATH=f"{tmp_path}:{ROOT}"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    summary = run.stdout.strip().rpartition("\n")[2]
    all_skipped = run.returncode == 0 and "skipped" in summary and "passed" not in summary
    if all_skipped or "No module named 'triton'" in run.stderr:
        # CI installs all that the victims need, so there a fault that nobody tried is a failure.
        assert "CI" not in os.environ or torch.cuda.is_available(), f"{victim} was skipped:\n{run.stdout[-1000:]}"
        pytest.skip(f"{victim} does not run here")
    # 1: tests ran and some failed. Anything else (2: broken collection, 5: none found) proves nothing.
    assert run.returncode == 1, f"{victim} stayed green with the fault, or did not run:\n{run.stdout[-2000:]}"
