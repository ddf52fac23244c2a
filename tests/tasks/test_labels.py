"""A class has one number everywhere, and a label that no one knows is refused by name."""

from __future__ import annotations

import dataclasses

import pytest

from gelu_patch.errors import DataError
from gelu_patch.tasks import LabelMap, TextExamples


def labelled(*labels: str, name: str = "train.csv") -> TextExamples:
    ids = tuple(f"row-{i}" for i in range(len(labels)))
    return TextExamples(ids, ids, None, labels, name)


def test_whole_numbers_keep_numeric_order() -> None:
    assert LabelMap.from_examples(labelled("10", "9", "-1", "9")).names == ("-1", "9", "10")


def test_other_names_are_sorted() -> None:
    found = LabelMap.from_examples(labelled("pos", "neg", "10"))
    assert found.names == ("10", "neg", "pos")
    assert found.id2label == {0: "10", 1: "neg", 2: "pos"}
    assert found.label2id == {"10": 0, "neg": 1, "pos": 2}


def test_encode_gives_class_numbers() -> None:
    assert LabelMap(("neg", "pos"), "m").encode(labelled("pos", "neg", "pos")).tolist() == [1, 0, 1]


@pytest.mark.parametrize("names", [("LABEL_0", "LABEL_1"), ("NEGATIVE", "POSITIVE")])
def test_class_numbers_fit_names_that_are_no_numbers(names: tuple[str, ...]) -> None:
    found = LabelMap.from_config(dict(enumerate(names)))
    assert found.encode(labelled("1", "0", names[1])).tolist() == [1, 0, 1]


def test_numbers_as_names_are_names() -> None:
    shifted = LabelMap.from_examples(labelled("1", "2"))
    assert shifted.encode(labelled("1", "2")).tolist() == [0, 1]
    with pytest.raises(DataError, match="'0'"):
        shifted.encode(labelled("0", "1"))


def test_a_file_may_lack_a_class_but_not_add_one() -> None:
    classes = LabelMap.from_examples(labelled("a", "b", "c"))
    assert classes.encode(labelled("c", "c")).tolist() == [2, 2]
    with pytest.raises(DataError) as caught:
        classes.encode(labelled("a", "d", "b", "e", name="test.csv"))
    assert caught.value.what == "test.csv has labels that train.csv does not: 'd', 'e'"
    assert caught.value.where == "rows 2, 4 (the first row is 1); 2 of 4 rows"


def test_a_number_beyond_the_classes_is_refused() -> None:
    with pytest.raises(DataError, match="'2'"):
        LabelMap.from_config({0: "LABEL_0", 1: "LABEL_1"}).encode(labelled("0", "2"))


def test_text_labels_do_not_fit_a_model_without_names() -> None:
    with pytest.raises(DataError) as caught:
        LabelMap.from_config({0: "LABEL_0", 1: "LABEL_1"}).encode(labelled("neg", "pos"))
    assert "class numbers" in str(caught.value.next_step)


def test_one_class_cannot_be_learnt() -> None:
    with pytest.raises(DataError, match="one class only") as caught:
        LabelMap.from_examples(labelled("1", "1"))
    assert "'1'" in str(caught.value.why)


def test_fractions_are_no_classes() -> None:
    with pytest.raises(DataError, match="fractions"):
        LabelMap.from_examples(labelled("2.5", "3"))


def test_config_numbers_are_put_in_order() -> None:
    assert LabelMap.from_config({1: "b", 0: "a"}).names == ("a", "b")


def test_a_map_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LabelMap(("a",), "m").names = ()  # type: ignore[misc]
