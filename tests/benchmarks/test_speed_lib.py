"""What keeps a benchmark honest: right outputs, a clock that sees everything, whole models, bars about real pieces."""

from __future__ import annotations

import threading
import time
from fnmatch import fnmatch

import pytest
import torch

from benchmarks.speed_lib import store
from benchmarks.speed_lib.arms import Setting, check_output, f_gelu, limit, stock
from benchmarks.speed_lib.bars import MODEL_BARS
from benchmarks.speed_lib.models import MODELS, piece_keys
from benchmarks.speed_lib.rounds import Skip, check_clock, sample


@pytest.fixture
def setting():
    model = MODELS["gpt2"].build(torch.float32, tiny=True)
    return Setting(MODELS["gpt2"], model, {"input_ids": torch.arange(16).reshape(1, 16)}, "infer", 1)


def test_an_arm_with_other_mathematics_is_not_measured(setting):
    for parameter in setting.model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # GPT-2 begins so small that its GELUs hardly count
    expected = stock(setting).output()
    check_output(f_gelu(setting), setting, expected)
    with pytest.raises(Skip, match="differs"):
        check_output(limit(setting), setting, expected)


def test_the_arms_share_their_weights_and_leave_the_model_alone(setting):
    before = [str(module) for module in setting.model.modules()]
    limit(setting)
    assert [str(module) for module in setting.model.modules()] == before


def burn() -> None:
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass


def test_an_arm_that_works_in_another_thread_is_not_measured():
    def elsewhere() -> None:
        helper = threading.Thread(target=burn)
        helper.start()
        helper.join()

    with pytest.raises(Skip, match="outside of the thread"):
        check_clock(elsewhere, threads=1)
    check_clock(elsewhere, threads=2)  # the wall clock sees it


def test_every_round_has_every_arm_in_changing_order():
    seen: list[str] = []
    samples = sample(
        {name: lambda name=name: seen.append(name) for name in "abc"}, 8, 1, calls={"a": 1, "b": 2, "c": 1}
    )
    assert {name: len(values) for name, values in samples.items()} == {"a": 8, "b": 8, "c": 8}
    rounds = ["".join(seen[i : i + 4]) for i in range(0, 32, 4)]
    assert all(sorted(one) == ["a", "b", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 2


def test_the_sizes_are_those_of_the_published_checkpoints():
    published = {"gpt2": 124_439_808, "bert": 108_891_648, "t5": 35_332_800, "gemma3": 268_098_176}
    with torch.device("meta"):
        for name, number in published.items():
            assert sum(p.numel() for p in MODELS[name].build(torch.float32).parameters()) == number


def test_every_bar_is_about_a_piece_that_is_measured():
    assert {bar.piece for bar in MODEL_BARS} <= set(piece_keys())


def test_a_piece_replaces_its_last_measurement_only(tmp_path):
    path, order = tmp_path / "results.json", ["a", "b", "c"]
    for key, number in (("b", 1), ("a", 2), ("b", 3)):
        store.keep(path, key, {"number": number}, order)
    assert store.load(path) == {"a": {"number": 2}, "b": {"number": 3}}
    assert list(store.load(path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("pattern", "glob"),
    [
        ("gpt2", "gpt2:*"),
        ("gpt2:float32:infer", "gpt2:float32:infer:*"),
        ("*:1", "*:1"),
        ("bert:*:train", "bert:*:train:*"),
    ],
)
def test_pieces_are_chosen_by_their_beginning(pattern, glob):
    found = store.chosen(piece_keys(), [pattern])
    assert found == [key for key in piece_keys() if fnmatch(key, glob)]
    assert 0 < len(found) < len(piece_keys())
    assert store.chosen(piece_keys(), []) == piece_keys()
