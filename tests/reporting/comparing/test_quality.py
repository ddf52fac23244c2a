"""Results of two arms: what too few examples may say, and answers that are no numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gelu_patch.errors import ExitCode, InvalidMeasurement
from gelu_patch.reporting.comparing.compare import compare_runs
from gelu_patch.reporting.comparing.fidelity import fidelity
from gelu_patch.reporting.comparing.quality import accuracy_result, nll_result
from gelu_patch.reporting.policy.margins import make_policy
from tests.reporting import made_up

POLICY = make_policy()


def test_identical_arms_have_no_flips_no_distance_and_no_p() -> None:
    one = made_up.predictions(2000, wrong=200)
    accuracy, nll, distance = accuracy_result(one, one, POLICY), nll_result(one, one, POLICY), fidelity(one, one)
    assert (accuracy.b, accuracy.c, accuracy.p_difference, accuracy.state) == (0, 0, 1.0, "NON_INFERIOR")
    assert (nll.diff, nll.ci, nll.state) == (0.0, (0.0, 0.0), "NON_INFERIOR")
    assert accuracy.identical
    assert nll.identical
    assert (distance.top1_agreement, distance.kl_mean, distance.kl_p99, distance.max_abs_dlogit) == (1.0, 0, 0, 0)


def test_equal_accuracy_is_not_identity() -> None:
    one, other = made_up.predictions(2000), made_up.predictions(2000, noise=1e-6)
    assert not accuracy_result(one, other, POLICY).identical
    assert accuracy_result(one, other, POLICY).diff == 0


@pytest.mark.parametrize(("n", "state"), [(380, "INCONCLUSIVE"), (381, "NON_INFERIOR")])
def test_the_minimum_is_a_sharp_edge(n: int, state: str) -> None:
    one = made_up.predictions(n)
    assert accuracy_result(one, one, POLICY).state == state


def test_a_few_lucky_flips_do_not_make_277_examples_enough() -> None:
    base, lucky = made_up.run(n=277, wrong=60), made_up.run("x", n=277, wrong=60, c=3)
    found = compare_runs(base, lucky, margins={"nll": "0.9"})
    accuracy = found.results[0]
    assert accuracy.ci is not None
    assert -0.01 < accuracy.ci[0] < 0, "the interval alone would pass"
    assert (accuracy.state, found.exit_code) == ("INCONCLUSIVE", ExitCode.INCONCLUSIVE)
    assert "keeps the margin -1.0 pp; 277 examples can never pass 1.0 pp (minimum 381)" in found.headline
    assert found.headline.endswith("at 1.1 % flips about 1,100 examples give 80 % power")


@pytest.mark.parametrize(("flips", "state"), [({"c": 30}, "SUPERIOR"), ({"b": 60}, "INFERIOR")])
def test_what_is_proven_needs_no_minimum_and_contradicts_no_warning(flips: dict[str, int], state: str) -> None:
    one, other = made_up.predictions(277, wrong=60), made_up.predictions(277, wrong=60, **flips)
    result = accuracy_result(one, other, POLICY)
    assert result.state == state
    assert not any("can never pass" in warning for warning in result.warnings)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_an_arm_that_answers_with_no_number_is_an_invalid_measurement(broken: float) -> None:
    good, bad = made_up.run(n=50), made_up.run("x", n=50)
    logits = bad.predictions.logits.copy()
    logits[7, 1] = broken
    bad.predictions = replace(bad.predictions, logits=logits)
    for runs, arm in (((good, bad), "candidate"), ((bad, good), "baseline")):
        with pytest.raises(InvalidMeasurement, match=f"the {arm} answers with NaN or infinity for 1 of 50") as caught:
            compare_runs(*runs)
        assert caught.value.exit_code is ExitCode.INVALID
        assert "'ex-7'" in str(caught.value)
        assert caught.value.next_step


def test_few_flips_are_a_warning() -> None:
    one = made_up.predictions(2000, wrong=200)
    assert accuracy_result(one, made_up.predictions(2000, wrong=200, b=5), POLICY).warnings
    assert not accuracy_result(one, made_up.predictions(2000, wrong=200, b=12), POLICY).warnings
