"""Policies in files, and policies that a baseline was fixed to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gelu_patch.errors import DataError, ExitCode, UsageError
from gelu_patch.reporting.outcome import compare
from gelu_patch.reporting.policy.margins import make_policy, role_of
from gelu_patch.reporting.policy.policy_file import fix_policy, policy_for, read_fixed_policy, read_policy
from gelu_patch.reporting.storage.run_folder import POLICY, RunFolder
from tests.reporting import made_up

YAML = """
margins: {accuracy: 0.5pp, mcc: 2pp, nll: 0.01, latency: +3%}
primary: [accuracy, f1]
required: [memory]
ignore: [nll]
alpha: 0.05
minimum_seeds: 3
require_gain: true
"""
TOML = """
primary = ["accuracy", "f1"]
required = ["memory"]
ignore = ["nll"]
alpha = 0.05
minimum_seeds = 3
require_gain = true
[margins]
accuracy = "0.5pp"
matthews_correlation = "2.0pp"
nll = 0.01
latency = "3%"
"""


def written(tmp_path: Path, text: str, name: str = "policy.yaml") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path, YAML))
    assert policy.margins["matthews_correlation"] == "2pp"
    assert (policy.primary, policy.ignore) == (["accuracy", "f1"], ["nll"])
    assert policy.required == ["accuracy", "f1", "latency", "matthews_correlation", "memory"]
    assert (policy.alpha, policy.minimum_seeds, policy.require_gain, policy.source) == (0.05, 3, True, "file")
    assert read_policy(written(tmp_path, TOML, "policy.toml")).sha256 == policy.sha256


def test_a_number_in_yaml_is_the_margin_that_was_written(tmp_path: Path) -> None:
    for text in ("0.005", "5.0e-3", "0.0050"):
        assert read_policy(written(tmp_path, f"margins: {{nll: {text}}}")).margins["nll"] == "0.005"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("margins: {acuracy: 1pp}", "unknown gated metric 'acuracy'"),
        ("primary: [accuracy, bleu]", "unknown gated metric 'bleu'"),
        ("margins: {accuracy: 1.0}", "needs a unit"),
        ("margins: {accuracy: 1}", "needs a unit"),
        ("margins: {latency: 0.02}", "in %"),
        ("margins: {accuracy: yes}", "margins.accuracy: input should be a valid string"),
        ("margins: {accuracy: .nan}", "a number with an optional sign"),
        ("margins: [accuracy]", "margins: input should be a valid dictionary"),
        ("marign: {accuracy: 1pp}", "unknown key 'marign'"),
        ("alpha: 0.7", "alpha: input should be less than 0.5"),
        ("alpha: 0", "alpha: input should be greater than 0"),
        ("alpha: high", "alpha: input should be a valid number"),
        ("minimum_seeds: 1", "minimum_seeds: input should be greater than"),
        ("require_gain: 1", "require_gain: input should be a valid boolean"),
        ("primary: accuracy", "primary: input should be a valid list"),
        ("primary: [latency]", "latency cannot be a primary metric"),
        ("{primary: [accuracy], ignore: [accuracy]}", "accuracy is primary and ignored"),
        ("- accuracy", "a policy is a mapping"),
        ("", "a policy is a mapping"),
        ("margins: {accuracy: 1pp", "it is not YAML"),
        ("a: b: c", "it is not YAML"),
    ],
)
def test_a_bad_policy_says_what_is_bad_and_where(tmp_path: Path, text: str, why: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_policy(path)
    assert caught.value.exit_code == ExitCode.USAGE == 2
    assert str(path) in str(caught.value)
    assert why in str(caught.value)
    assert caught.value.next_step


def test_a_policy_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the policy"):
        read_policy(tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match="not TOML"):
        read_policy(written(tmp_path, "margins: {}", "policy.toml"))
    (tmp_path / "latin.yaml").write_bytes(b"primary: [\xe9]")
    with pytest.raises(UsageError, match="not YAML"):
        read_policy(tmp_path / "latin.yaml")


def test_margins_of_the_command_line_win(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path, YAML), {"accuracy": "2pp"})
    assert (policy.margins["accuracy"], policy.margins["nll"], policy.source) == ("2pp", "0.01", "cli")


@pytest.mark.parametrize(
    "changed",
    [
        {"margins": {"nll": "0.006"}}, {"alpha": 0.05}, {"primary": ["nll"]}, {"ignore": ["nll"]},
        {"minimum_seeds": 3}, {"require_gain": True}, {"required": ["latency"]},
    ],
)  # fmt: skip
def test_the_hash_follows_everything_that_decides(changed: dict[str, Any]) -> None:
    assert make_policy(**changed).sha256 != make_policy().sha256


def test_the_hash_does_not_follow_the_spelling() -> None:
    assert make_policy({"accuracy": "-1 pp", "mcc": "1.00pp"}).sha256 == make_policy().sha256


def test_roles() -> None:
    usual = make_policy()
    assert [role_of(usual, name) for name in ("accuracy", "nll", "f1")] == ["primary", "guard", "shown"]
    named = make_policy({"f1": "1pp"})
    assert role_of(named, "f1") == "guard"
    other = make_policy(primary=["nll"], ignore=["accuracy"])
    assert [role_of(other, name) for name in ("accuracy", "nll")] == ["shown", "primary"]
    assert role_of(make_policy(primary=["nll"]), "accuracy") == "guard"


def saved(run: made_up.MadeUpRun, path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_predictions(run.predictions)
    folder.write_report(run.report)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    return saved(made_up.run(), tmp_path / "base"), saved(made_up.run("x", b=12, c=2), tmp_path / "cand")


def test_a_policy_fixed_before_the_run_is_used_and_vouched_for(runs: tuple[RunFolder, RunFolder]) -> None:
    fix_policy(runs[0].path, make_policy({"accuracy": "2pp"}), "eval")
    found = compare(*runs).comparison
    assert (found.policy.margins["accuracy"], found.policy.fixed_before_run) == ("2pp", True)
    assert compare(*runs, margins={"accuracy": "2.0pp"}).comparison.policy.fixed_before_run is True


@pytest.mark.parametrize("by", ["eval", "compare"])
def test_a_margin_changed_afterwards_is_on_the_banner(runs: tuple[RunFolder, RunFolder], by: Any) -> None:
    fix_policy(runs[0].path, make_policy({"accuracy": "0.5pp"}), by)
    found = compare(*runs, margins={"accuracy": "3pp"}).comparison
    assert found.policy.fixed_before_run is False
    assert "the margins are not those that the baseline was fixed to" in found.headline
    fixed = read_fixed_policy(runs[0].path)
    assert fixed is not None
    assert fixed.policy.margins["accuracy"] == "0.5pp", "what was fixed first stays"


def test_the_first_comparison_fixes_what_it_used(runs: tuple[RunFolder, RunFolder]) -> None:
    assert compare(*runs).comparison.policy.fixed_before_run is None
    assert compare(*runs).comparison.policy.fixed_before_run is None
    assert compare(*runs, margins={"accuracy": "5pp"}).comparison.policy.fixed_before_run is False


def test_a_new_run_in_the_folder_is_not_held_to_the_old_policy(runs: tuple[RunFolder, RunFolder]) -> None:
    fix_policy(runs[0].path, make_policy({"accuracy": "0.5pp"}), "eval")
    RunFolder.create(runs[0].path, overwrite=True)
    assert read_fixed_policy(runs[0].path) is None


def test_runs_in_memory_have_no_fixed_policy() -> None:
    assert policy_for(None, None) == make_policy()


def test_a_baseline_that_cannot_be_written_is_compared_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert policy_for(tmp_path / "file", None).fixed_before_run is None


def test_a_damaged_record_is_an_error(runs: tuple[RunFolder, RunFolder]) -> None:
    (runs[0].path / POLICY).write_text("{")
    with pytest.raises(DataError, match=POLICY):
        compare(*runs)
