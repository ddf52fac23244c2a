"""Planted faults of activations, kernels, blocks and the check of kernels."""

from __future__ import annotations

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
        "tests/blocks/test_down_guards.py::test_what_is_put_on_the_down_projection_later_is_run",
    ),
    "a down projection that forgets its activation": (
        "import gelu_patch.blocks.down as m; m.Postponed.through = lambda self, down: down(self.z)",
        "tests/blocks/test_down.py::test_gradients_have_the_bits_they_had",
    ),
    "a down projection that counts what gradient checkpointing counts": (
        "import gelu_patch.kernels.recompute as m; m.is_recording = lambda: True",
        "tests/blocks/test_down_autograd.py::test_gradient_checkpointing_keeps_what_it_kept",
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
    "few bits that stand for other levels": (
        "import gelu_patch.activations.fewbit as m; s = m.STEPS['gelu_fewbit'];"
        "object.__setattr__(s, 'codes', s.codes[::-1])",
        "tests/activations/test_fewbit.py::test_the_declared_error_is_the_measured_one",
    ),
    "a clipped GELU taken for GELU": (
        "import gelu_patch.activations.fingerprint as m, numpy as np;m._grid = lambda: np.linspace(-4.0, 4.0, 101)",
        "tests/activations/test_recognise.py::test_what_is_no_registered_activation_is_left_alone_with_a_reason",
    ),
}
