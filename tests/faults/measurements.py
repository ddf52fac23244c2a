"""Planted faults of times and energy."""

from __future__ import annotations

FAULTS = {
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
}
