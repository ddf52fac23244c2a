"""What every paired statistic starts from: by-hand values, a round trip, and files that cannot be meant."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gelu_patch.errors import DataError, DataNotFound, ExitCode, InvalidMeasurement
from gelu_patch.reporting.storage.predictions import Predictions, digest
from tests.reporting import made_up

LOGITS = pa.list_(pa.float32())


def by_hand() -> Predictions:
    logits = np.array([[0.0, math.log(3), 0.0], [2.0, 0.0, 1.0]], np.float32)
    return Predictions(["a", "b"], np.array([1, 2]), logits, np.array([4, 5]), seed=3)


def test_by_hand() -> None:
    found = by_hand()
    assert found.pred.tolist() == [1, 0]
    assert found.correct.tolist() == [True, False]
    # a: 3 / (1 + 3 + 1); b: e / (e² + 1 + e)
    assert found.nll == pytest.approx([-math.log(3 / 5), math.log(math.e**2 + 1 + math.e) - 1], rel=1e-6)
    assert found.margin == pytest.approx([math.log(3), 1.0], rel=1e-6)
    assert np.exp(found.log_probabilities).sum(axis=1) == pytest.approx([1, 1])
    assert len(found) == 2


def test_huge_logits_do_not_overflow() -> None:
    found = replace(by_hand(), logits=np.array([[1e30, 0, 0], [0, 0, 5000]], np.float32))
    assert found.nll == pytest.approx([1e30, 0])


def test_round_trip(tmp_path: Path) -> None:
    saved = by_hand()
    loaded = Predictions.load(saved.save(tmp_path / "predictions.parquet"))
    assert (loaded.ids, loaded.seed) == (saved.ids, 3)
    for name in ("label", "logits", "n_tokens", "nll", "margin", "pred", "correct"):
        one, other = getattr(saved, name), getattr(loaded, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert loaded.ids_sha256 == saved.ids_sha256


def test_the_file_holds_the_columns_of_the_specification(tmp_path: Path) -> None:
    table = pq.read_table(by_hand().save(tmp_path / "predictions.parquet"))
    expected = ["id", "group_id", "label", "pred", "correct", "nll", "margin", "logits", "n_tokens", "seed"]
    assert table.column_names == expected
    assert table["correct"].to_pylist() == [True, False]
    assert table["margin"].to_pylist() == pytest.approx([math.log(3), 1.0], rel=1e-6)
    assert table["seed"].to_pylist() == [3, 3]


def documents() -> Predictions:
    losses = [np.array([0.5, 1.5], np.float32), np.array([2.0, 1.0, 0.0], np.float32)]
    return Predictions(
        ["a", "b"],
        n_tokens=np.array([2, 3]),
        group_id=["book", "book"],
        losses=np.array([each.mean() for each in losses], np.float64),
        text=["one two", "three"],
        token_pred=[np.array([4, 5]), np.array([6, 7, 8])],
        token_nll=losses,
    )


def test_a_language_model_keeps_losses_by_document_and_token(tmp_path: Path) -> None:
    saved = documents()
    loaded = Predictions.load(saved.save(tmp_path / "predictions.parquet"))
    assert (loaded.ids, loaded.group_id, loaded.text) == (saved.ids, saved.group_id, saved.text)
    assert loaded.nll.tolist() == [1.0, 1.0]
    assert loaded.is_language_model
    assert (loaded.label, loaded.logits, loaded.choice, loaded.n_classes) == (None, None, None, None)
    for name in ("token_pred", "token_nll"):
        for one, other in zip(getattr(saved, name), getattr(loaded, name), strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
    for name in ("pred", "correct", "margin", "log_probabilities"):
        with pytest.raises(DataError, match="of a language model have no"):
            getattr(loaded, name)


def test_answers_without_logits(tmp_path: Path) -> None:
    saved = Predictions(["a", "b"], np.array([1, 1]), choice=np.array([1, 0]))
    loaded = Predictions.load(saved.save(tmp_path / "predictions.parquet"))
    assert loaded.correct.tolist() == [True, False]
    assert not loaded.has_nll
    with pytest.raises(DataError, match="without logits have no logits"):
        _ = loaded.nll


def test_the_same_predictions_are_the_same_bytes(tmp_path: Path) -> None:
    one, other = (documents().save(tmp_path / name).read_bytes() for name in ("one", "other"))
    assert one == other


def test_the_same_outputs_are_the_same_bits() -> None:
    assert documents().same_outputs(documents())
    assert not documents().same_outputs(by_hand())
    assert not by_hand().same_outputs(replace(by_hand(), logits=by_hand().class_logits + np.float32(1e-6)))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ids": []}, "no predictions"),
        ({"ids": ["a"]}, "1 predictions and 2 values of"),
        ({"losses": None}, "exactly one of"),
        ({"losses": None, "choice": np.array([0, 1])}, "need labels"),
        ({"n_tokens": np.array([2, 0])}, "no predicted token"),
        ({"n_tokens": None}, "no predicted token"),
        ({"n_tokens": np.array([2, 2])}, "token_pred does not hold n_tokens"),
        ({"text": ["one"]}, "1 values of text"),
    ],
)
def test_columns_that_do_not_fit_together(fields: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        replace(documents(), **fields)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize(("made", "column"), [(by_hand, "logits"), (documents, "nll")])
def test_no_number_is_no_prediction(
    tmp_path: Path, broken: float, made: Callable[[], Predictions], column: str
) -> None:
    path = made().save(tmp_path / "predictions.parquet")
    table = pq.read_table(path)
    values = [[0.0, 1.0, 2.0], [0.0, broken, 1.0]] if column == "logits" else [1.0, broken]
    pq.write_table(table.drop([column]).append_column(column, pa.array(values, table[column].type)), path)
    with pytest.raises(InvalidMeasurement, match="NaN or infinity for 1 of 2") as caught:
        Predictions.load(path)
    assert caught.value.where == "first at example 'b'"
    assert caught.value.exit_code is ExitCode.INVALID


def test_no_number_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidMeasurement):
        replace(documents(), losses=np.array([1.0, np.nan])).save(tmp_path / "p.parquet")


def test_without_a_seed_there_is_none(tmp_path: Path) -> None:
    assert Predictions.load(made_up.predictions(5).save(tmp_path / "p.parquet")).seed is None


def test_an_id_that_occurs_twice_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="example id 'ex-1' occurs twice"):
        replace(made_up.predictions(3), ids=["ex-1", "ex-0", "ex-1"])


def test_the_digest_covers_order_and_borders() -> None:
    digests = {digest(parts) for parts in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["a"], [])}
    assert len(digests) == 6
    assert digest(["é", 1]) == digest(["é", "1"])


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="no predictions") as caught:
        Predictions.load(tmp_path / "predictions.parquet")
    assert caught.value.exit_code is ExitCode.ENVIRONMENT


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("logits", None, "no column 'logits'"),
        ("logits", pa.array([[0.0, 1.0], [1.0]], LOGITS), "same shape"),
        ("logits", pa.array([[0.0, 1.0], None], LOGITS), "missing for 1 of 2"),
        ("logits", pa.array([[0.0], [1.0]], LOGITS), "1 class"),
        ("label", pa.array([0, 2]), "none of the classes 0 to 1"),
        ("label", pa.array([0, -1]), "none of the classes"),
        ("label", pa.array([0, None], pa.int64()), "missing"),
        ("label", pa.array(["good", "bad"]), "none of the classes"),
        ("id", pa.array(["a", None]), "no id"),
        ("id", pa.array(["a", "a"]), "occurs twice"),
    ],
)
def test_a_file_that_cannot_be_meant(tmp_path: Path, column: str, values: pa.Array | None, says: str) -> None:
    path = made_up.predictions(2).save(tmp_path / "predictions.parquet")
    table = pq.read_table(path).drop([column])
    pq.write_table(table if values is None else table.append_column(column, values), path)
    with pytest.raises(DataError) as caught:
        Predictions.load(path)
    assert says in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize("keep", [0, 3, 100, -20])
def test_a_file_cut_short(tmp_path: Path, keep: int) -> None:
    path = made_up.predictions(40).save(tmp_path / "predictions.parquet")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="cannot read"):
        Predictions.load(path)


def test_a_file_without_examples(tmp_path: Path) -> None:
    path = made_up.predictions(2).save(tmp_path / "predictions.parquet")
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(DataError, match="cannot read"):
        Predictions.load(path)
