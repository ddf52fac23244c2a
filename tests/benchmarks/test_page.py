"""The page says no more than the numbers do. All numbers here are made up."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.speed_lib import gpu_section, linear_section, memory_section, models_section
from benchmarks.speed_lib.names import AGAIN, COMPILED, F_GELU, MKL, MKL_AGAIN, ONEDNN, OURS, STOCK
from benchmarks.speed_lib.page import page
from benchmarks.speed_lib.ratios import Speed, effect, judge

ENVIRONMENT = {
    "cpu": "made up", "cores": 2, "python": "3.11", "packages": {"torch": "2", "transformers": "5"}, "loadavg": [0.1],
}  # fmt: skip


def times(middle: float, spread: float = 0.002, rounds: int = 21, seed: int = 0) -> list[float]:
    generator = random.Random(f"{middle}{seed}")
    return [middle * (1 + generator.uniform(-spread, spread)) for _ in range(rounds)]


def piece(samples: dict[str, list[float]], **others: object) -> dict:
    return {
        "title": "GPT-2 small", "git": "abc", "environment": ENVIRONMENT, "clock": "thread CPU time", "shape": [8, 128],
        "layers": 12, "layers_of_the_model": 12, "quick": False, "notes": {}, "skipped": {}, "samples": samples,
    } | others  # fmt: skip


def gpt2_row(
    stock: float, ours: float, again: float | None = None, spread: float = 0.002, rounds: int = 21, **others: object
) -> str:
    """The line of the bar of GPT-2's inference against stock, floor 1.15 and goal 1.25."""
    samples = {
        STOCK: times(stock, spread, rounds),
        AGAIN: times(again or stock, spread, rounds, seed=1),
        OURS: times(ours, spread, rounds, seed=2),
    }
    text, _ = models_section.write({"pieces": {"gpt2:float32:infer:1": piece(samples, **others)}})
    return next(line for line in text.splitlines() if "1.15x / 1.25x stock" in line and "float32" in line)


@pytest.mark.parametrize(
    ("ours", "shows", "bar"),
    [
        (1 / 1.30, "1.30 times as fast", "goal reached"),
        (1 / 1.20, "1.20 times as fast", "floor reached"),
        (1 / 1.10, "1.10 times as fast", "**MISSED**"),
        (1 / 1.15, "1.15 times as fast", "undecided"),
        (1.0, "no gain", "**MISSED**"),
        (1.05, "slower: 1.05 times the time", "**MISSED**"),
    ],
)
def test_a_bar_by_what_was_measured(ours, shows, bar):
    row = gpt2_row(1.0, ours)
    assert shows in row
    assert f"| {bar}" in row


def test_no_gain_where_stock_differs_as_much_from_itself():
    row = gpt2_row(1.0, 1 / 1.03, again=1 / 1.05)
    assert "no gain: stock differs from itself by up to 5" in row
    assert "1.03 times as fast" not in row


def test_a_bar_nearer_than_the_control_is_undecided():
    assert "| undecided: nearer to the bar than the control's" in gpt2_row(1.0, 1 / 1.17, again=1 / 1.05)
    assert "| **MISSED**" in gpt2_row(1.0, 1 / 1.02, again=1 / 1.05)


def test_a_noisy_measurement_decides_nothing():
    row = gpt2_row(1.0, 1 / 1.16, spread=0.3)
    assert "| undecided" in row
    assert "times as fast" not in row


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Speed(1.00, 0.99, 1.01, 1.0), "reached: not slower (margin 2%)"),
        (Speed(0.99, 0.985, 0.998, 1.0), "**MISSED**"),  # slower for sure, though by less than the margin
        (Speed(0.99, 0.95, 1.03, 1.0), "undecided: the interval covers the bar"),
        (Speed(1.05, 1.04, 1.06, 1.0), "reached"),
    ],
)
def test_not_slower(found, expected):
    assert judge(found, Speed(1.0, 0.999, 1.001, 1.0), 1) == expected


def test_no_gain_where_the_interval_covers_1():
    assert effect(Speed(1.04, 0.99, 1.09, 1.0), Speed(1.0, 1.0, 1.0, 1.0)) == "no gain: the interval covers 1"


def test_without_a_control_the_interval_alone_decides():
    assert effect(Speed(1.03, 1.01, 1.05, 1.0), None) == "1.03 times as fast"
    assert judge(Speed(1.03, 1.01, 1.05, 1.0), None, 1.01) == "reached"


@pytest.mark.parametrize(
    ("others", "reason"),
    [({"layers": 3}, "3 of 12 layers"), ({"quick": True}, "tiny"), ({"rounds": 8}, "only 8 rounds")],
)
def test_a_part_of_a_model_or_of_the_rounds_reaches_no_bar(others, reason):
    row = gpt2_row(1.0, 0.5, **others)
    assert f"| not measured: {reason} |" in row
    assert f"GPT-2 small (**{reason}**)" in row


def test_a_missing_arm_and_a_missing_piece_are_said():
    samples = {STOCK: times(1.0), AGAIN: times(1.0, seed=1), OURS: times(0.8)}
    text, verdicts = models_section.write(
        {"pieces": {"gpt2:float32:infer:1": piece(samples, skipped={COMPILED: "no compiler"})}}
    )
    assert any("not slower than torch.compile" in line and "| not measured |" in line for line in text.splitlines())
    assert "torch.compile was not measured: no compiler" in text
    assert verdicts.count("not measured") == len(verdicts) - 1


@pytest.mark.parametrize(("ours", "expected"), [(1.10, "**MISSED**"), (1.0, "reached"), (0.90, "reached")])
def test_linear_is_judged_by_the_fastest_plain_product(ours, expected):
    """oneDNN's is the faster one, in 0.95 of the time; ours is 1.10, 1.0 or 0.9 times that."""
    samples = {
        MKL: times(1.0), MKL_AGAIN: times(1.0, seed=1), ONEDNN: times(0.95), OURS: times(0.95 * ours, seed=2),
    }  # fmt: skip
    text, verdicts = linear_section.write({"pieces": {"linear:float32:768-3072:128": piece(samples)}})
    assert verdicts == [expected]
    row = next(line for line in text.splitlines() if line.startswith("| 768 to 3072, 128 rows"))
    assert f"{ours:.2f}" in row
    assert "] oneDNN linear" in row


def test_memory_says_of_each_bar_whether_it_was_reached():
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "cpu_memory.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    result["bars"] = [
        {"model": "GPT-2", "arm": "balanced", "less_than_stock": saved, "at_least": 0.5} for saved in (0.55, 0.45)
    ]
    text, verdicts = memory_section.write(result)
    assert verdicts == ["reached", "**MISSED**"]
    assert "| GPT-2 | balanced | -50% or better | -45.0% | **MISSED** |" in text


def test_the_page_counts_every_bar_and_names_what_is_missing(tmp_path):
    assert page(tmp_path).count("\n\nNot measured.") == 5
    samples = {STOCK: times(1.0), AGAIN: times(1.0, seed=1), OURS: times(1.2)}
    content = {"pieces": {"gpt2:float32:infer:1": piece(samples)}}
    (tmp_path / "cpu_models.json").write_text(json.dumps(content))
    text = page(tmp_path)
    assert "Bars in all: missed 1, not measured 14." in text
    assert "Measured at abc on made up, 2 cores" in text


def gpu_result(**pieces: dict) -> dict:
    gpu = {"name": "made up", "architecture": "sm_90", "triton": "3", "cuda": "13"}
    return {
        "reached_a_gpu": True, "quick": False, "git": "abc", "environment": ENVIRONMENT, "machine": gpu,
        "not_measured": {}, "pieces": {name.replace("_", ":"): each for name, each in pieces.items()},
    }  # fmt: skip


def gpu_rows(result: dict, row: str) -> list[str]:
    text, _ = gpu_section.write(result)
    return [line for line in text.splitlines() if line.startswith(f"| {row} |")]


@pytest.mark.parametrize(("ours", "verdict"), [(1 / 3, "goal reached"), (1 / 2.3, "floor reached"), (1, "**MISSED**")])
def test_a_gpu_is_judged_by_its_samples(ours, verdict):
    samples = {STOCK: times(1.0), OURS: times(ours, seed=1)}
    result = gpu_result(mlp_forward_768_8192={"samples": samples, "skipped": {}, "notes": {}})
    first, second = gpu_rows(result, "G1")
    assert f"| {verdict} |" in first
    assert "| not measured |" in second


@pytest.mark.parametrize(("kept", "verdict"), [(33, "goal reached"), (38, "floor reached"), (60, "**MISSED**")])
def test_a_gpu_s_bytes_are_counted(kept, verdict):
    notes = {"kept bytes": {STOCK: 100, OURS: kept}, "peak bytes": {STOCK: None, OURS: None}}
    result = gpu_result(model_gpt2_train_autocast={"samples": {}, "skipped": {}, "notes": notes})
    rows = gpu_rows(result, "G9")
    assert f"| {verdict} |" in rows[2]
    assert "not measured" in rows[0]


def test_an_error_above_eager_s_misses_whatever_the_others_do():
    good, bad = (
        {OURS: {"value": e, "derivative": 1e-9}, F_GELU: {"value": 2e-7, "derivative": 1e-8}} for e in (1e-8, 3e-7)
    )
    notes = {"largest error": {"gelu, float32": good, "gelu_tanh, float32": bad}}
    (row,) = gpu_rows(gpu_result(errors={"samples": {}, "skipped": {}, "notes": notes}), "G14")
    assert "| **MISSED** |" in row


def test_an_arm_that_was_left_out_says_why():
    piece = {"samples": {STOCK: times(1.0), OURS: times(1.0)}, "skipped": {"Liger": "not installed"}, "notes": {}}
    rows = gpu_rows(gpu_result(gated_3072=piece), "G11")
    assert "not measured: not installed" in rows[0]
