"""A model card that the Hub reads, in which other people's words stay."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, metadata_load

from gelu_patch.errors import DataError, UsageError
from gelu_patch.reporting.rendering.model_card import BEGIN, END, SOURCE_URL, update_model_card
from gelu_patch.reporting.schema import Report
from tests.reporting.hostile import hostile_report

OTHER = """---
license: apache-2.0
tags:
- sentiment
model-index:
- name: our-model
  results:
  - task:
      type: text-classification
    dataset:
      name: SST-2
      type: glue
    metrics:
    - type: accuracy
      value: 0.91
---

# Our model

Written by hand.
"""


def test_a_new_card_is_read_back(full_report: Report, tmp_path: Path) -> None:
    path = update_model_card(tmp_path / "card.md", full_report)
    (model,) = metadata_load(path)["model-index"]
    assert model["name"] == "tiny-bert"
    (result,) = model["results"]
    assert result["task"] == {"type": "text-classification"}
    assert result["dataset"] == {"name": "sentences", "type": "custom", "split": "test"}
    candidate = full_report.arms[1]
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {
        quality.metric: quality.value for quality in candidate.quality
    }
    assert result["source"]["url"] == SOURCE_URL
    text = path.read_text()
    for comparison in full_report.comparisons:
        assert comparison.verdict in text
    assert "Does not cover: other data" in text


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_rest_of_a_card_stays(full_report: Report, tmp_path: Path, newline: str) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(OTHER.replace("\n", newline).encode())
    for _ in range(2):
        update_model_card(path, full_report)
    text = path.read_bytes().decode()
    assert text.count(BEGIN) == text.count(END) == text.count("Written by hand.") == 1
    assert newline == "\n" or "\n" not in text.replace("\r\n", "")
    data = metadata_load(path)
    assert (data["license"], data["tags"]) == ("apache-2.0", ["sentiment"])
    (model,) = data["model-index"]
    assert model["name"] == "our-model"
    assert [(r["dataset"]["name"], len(r["metrics"])) for r in model["results"]] == [("SST-2", 1), ("sentences", 2)]
    path.write_bytes(path.read_bytes() + f"{newline}After it.{newline}".encode())
    once = path.read_bytes()
    assert update_model_card(path, full_report).read_bytes() == once, "updating again changes nothing"


@pytest.mark.parametrize(
    "content",
    [
        "---\nlicense: [\n---\n",
        "---\n- a list\n---\n",
        f"{BEGIN}\nno end\n",
        f"{END}\n{BEGIN}\n",
        f"{BEGIN}{END}{BEGIN}{END}",
        "---\nmodel-index:\n- name: x\n  results: [{task: 1}]\n---\n",
        b"\xff\xfe",
    ],
)
def test_a_damaged_card_is_left_alone(full_report: Report, tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = path.read_bytes()
    with pytest.raises(DataError, match="cannot update the model card"):
        update_model_card(path, full_report)
    assert path.read_bytes() == before


def test_a_report_of_nothing_has_no_card(full_report: Report, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no arm"):
        update_model_card(tmp_path / "card.md", full_report.model_copy(update={"arms": []}))


def test_hostile_names_stay_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    for _ in range(2):
        update_model_card(path, hostile_report())
    text = path.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    body = ModelCard.load(path).text.replace(BEGIN, "").replace(END, "")
    assert "<" not in body
    assert not re.search(r"(?<!\\)\]\(", body)
    assert set(metadata_load(path)) == {"model-index"}
