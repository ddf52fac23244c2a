from __future__ import annotations

import pytest

from gelu_patch.errors import UnknownName, UsageError
from gelu_patch.reporting.policy.margins import Margin, make_policy, margin_of, parse_margin, read_margins
from gelu_patch.reporting.policy.metrics import METRICS


@pytest.mark.parametrize(
    ("metric", "text", "margin"),
    [
        ("accuracy", "1.0pp", Margin(0.01, relative=False)),
        ("accuracy", "-1 pp", Margin(0.01, relative=False)),
        ("accuracy", "0.5%", Margin(0.005, relative=True)),
        ("accuracy", ".5pp", Margin(0.005, relative=False)),
        ("matthews", "1pp", Margin(0.01, relative=False)),
        ("nll", "0.005", Margin(0.005, relative=False)),
        ("nll", "+0.005", Margin(0.005, relative=False)),
        ("latency", "+2%", Margin(0.02, relative=True)),
        ("memory", "1%", Margin(0.01, relative=True)),
    ],
)
def test_margins_have_a_direction_and_a_unit(metric: str, text: str, margin: Margin) -> None:
    assert parse_margin(metric, text) == margin


@pytest.mark.parametrize(
    ("metric", "text", "why"),
    [
        ("accuracy", "+1.0pp", "higher accuracy is better"),
        ("latency", "-2%", "lower latency is better"),
        ("nll", "1pp", "percentage points do not apply"),
        ("latency", "0.02", "in %"),
        ("latency", "2pp", "percentage points do not apply"),
        ("accuracy", "0pp", "strictly between"),
        ("accuracy", "100pp", "strictly between"),
        ("accuracy", "0.01", "needs a unit"),
        ("accuracy", "1", "needs a unit"),
        ("accuracy", "one", "a number"),
        ("accuracy", "1e-2", "a number"),
        ("accuracy", "nan", "a number"),
        ("accuracy", "", "a number"),
    ],
)
def test_a_margin_that_cannot_be_meant_says_why_and_what_to_type(metric: str, text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        parse_margin(metric, text)
    assert f"--margin {metric}=" in str(caught.value)
    example = str(caught.value.next_step).removeprefix(f"--margin {metric}=")
    parse_margin(metric, example)


def test_a_relative_margin_follows_the_baseline() -> None:
    assert Margin(0.005, relative=True).against(0.8) == pytest.approx(0.004)
    assert Margin(0.005, relative=False).against(0.8) == 0.005
    with pytest.raises(UsageError, match="baseline is 0"):
        Margin(0.005, relative=True).against(0.0)


def test_the_default_policy_is_the_specified_one_and_says_so() -> None:
    policy = make_policy()
    counts = {"f1": "1.0pp", "matthews_correlation": "1.0pp"}
    assert policy.margins == {"accuracy": "1.0pp", "nll": "0.005", "latency": "+2%", "memory": "+1%", **counts}
    assert (policy.source, policy.required) == ("default", [])
    assert all(margin_of(policy, metric.name).value > 0 for metric in METRICS)


def test_named_margins_replace_defaults_and_are_required() -> None:
    policy = make_policy({"accuracy": "0.5pp"})
    assert policy.margins["accuracy"] == "0.5pp"
    assert policy.margins["latency"] == "+2%"
    assert (policy.source, policy.required) == ("cli", ["accuracy"])


def test_the_hash_follows_the_margins() -> None:
    assert make_policy().sha256 == make_policy({"accuracy": "1.0pp"}).sha256
    assert make_policy().sha256 != make_policy({"accuracy": "2.0pp"}).sha256


def test_options_of_the_command_line() -> None:
    assert read_margins(["accuracy=1.0pp", " latency = +2% "]) == {"accuracy": "1.0pp", "latency": "+2%"}


@pytest.mark.parametrize("options", [["accuracy"], ["=1pp"], ["accuracy=1pp", "accuracy=2pp"]])
def test_malformed_options_are_refused(options: list[str]) -> None:
    with pytest.raises(UsageError, match="cannot read the margin"):
        read_margins(options)


def test_an_unknown_metric_suggests_a_known_one() -> None:
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        read_margins(["acuracy=1pp"])
