"""A local lm-eval task, offline: its samples go through the same paired comparison, and its own number comes out."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gelu_patch as gp
from gelu_patch.errors import DataError, MissingExtra, NotComparable
from gelu_patch.integrations.lm_eval import evaluate_with_lm_eval
from gelu_patch.integrations.lm_eval_samples import Sample, predictions_of, quality_of
from gelu_patch.tasks import LoadedModel, tasks
from tests.tasks.tiny import WORDS, save_tiny_gpt2


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tasks.get("causal-lm").load(save_tiny_gpt2(tmp_path_factory.mktemp("gpt2")))


def sample(number: int, task: str = "t", **fields: Any) -> Sample:
    row = {"doc_id": number, "doc_hash": f"{number:064d}", "prompt_hash": "p", "target_hash": "h", "filter": "none"}
    return Sample(
        task, {**row, "metrics": list(fields), "arguments": {"gen_args_0": {"arg_0": f"prompt {number}"}}, **fields}
    )


def test_multiple_choice_keeps_the_likelihoods() -> None:
    rows = [
        sample(0, target="1", filtered_resps=[(-3.0, False), (-1.0, False)], acc=1.0),
        sample(1, target=0, filtered_resps=[(-3.0, False), (-1.0, False)], acc=0.0),
    ]
    found = predictions_of(rows)
    assert found.ids == ["t:0:000000000000", "t:1:000000000000"]
    assert found.logits.tolist() == [[-3.0, -1.0]] * 2
    assert found.correct.tolist() == [True, False]
    assert found.text == ["prompt 0", "prompt 1"]
    assert [each.metric for each in quality_of(found)] == ["accuracy", "nll"]


@pytest.mark.parametrize(
    "other",
    [
        sample(1, target=0, filtered_resps=[(-1.0, False)] * 3, acc=1.0),  # another number of choices
        sample(1, target=[0, 1], filtered_resps=[(-3.0, False), (-1.0, False)], acc=1.0),  # several right ones
        sample(1, target=0, filtered_resps=[(-3.0, False), (-1.0, False)], acc=1.0),  # right by another rule
    ],
)
def test_where_likelihoods_do_not_say_it_the_answer_is_kept(other: Sample) -> None:
    found = predictions_of([sample(0, target=0, filtered_resps=[(-3.0, False), (-1.0, False)], acc=0.0), other])
    assert found.logits is None
    assert found.correct.tolist() == [False, True]
    assert [each.metric for each in quality_of(found)] == ["accuracy"]


def test_texts_keep_their_loss_per_word() -> None:
    found = predictions_of([sample(0, word_perplexity=(-12.0, 4)), sample(1, word_perplexity=(-3.0, 2))])
    assert found.nll.tolist() == [3.0, 1.5]
    assert found.n_tokens.tolist() == [4, 2]
    quality = {each.metric: each.value for each in quality_of(found)}
    assert quality["perplexity"] == pytest.approx(np.exp(15 / 6))


def test_metrics_that_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="cannot be compared") as caught:
        predictions_of([sample(0, bleu=0.3)])
    assert "bleu" in str(caught.value.why)
    with pytest.raises(DataError, match="neither right or wrong"):
        predictions_of([sample(0, bleu=0.3)], "bleu")
    assert predictions_of([sample(0, f1=1.0, acc=0.0)], "f1").correct.tolist() == [True]


def test_without_lm_eval(decoder: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lm_eval", None)
    with pytest.raises(MissingExtra, match="lm-eval"):
        evaluate_with_lm_eval(decoder.model, decoder.tokenizer, "arc_easy")


@pytest.fixture(scope="module")
def local_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "question": " ".join(WORDS[(i + k) % len(WORDS)] for k in range(4)),
            "choices": [WORDS[i % 5], WORDS[7]],
            "answer": i % 2,
        }
        for i in range(30)
    ]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "tiny_choice.yaml").write_text(
        f"""
task: tiny_choice
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder / "test.jsonl"}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
metadata:
  version: 1.0
"""
    )
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # lm-eval's own, and those of what it imports
def test_a_local_task_before_and_after_a_swap(
    decoder: LoadedModel, local_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval", reason='lm-eval is not installed: pip install "gelu-patch[lm-eval]"')
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    model = decoder.model.train()
    state = (random.getstate(), torch.get_rng_state())

    def evaluate() -> Any:
        return evaluate_with_lm_eval(model, decoder.tokenizer, "tiny_choice", include_path=local_tasks, batch_size=4)

    before = evaluate()
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])
    assert model.training
    with gp.patch_model(model, "relu"):
        after = evaluate()
    again = evaluate()
    assert len(before.predictions) == 30
    assert before.predictions.logits.shape == (30, 2)
    assert again.predictions.same_outputs(before.predictions)
    assert not after.predictions.same_outputs(before.predictions)
    assert after.report.subject.patch.target == "relu"
    found = gp.compare(before, after)
    accuracy = next(each for each in found.comparison.results if each.metric == "accuracy")
    assert accuracy.n == 30
    fewer = evaluate_with_lm_eval(model, decoder.tokenizer, "tiny_choice", include_path=local_tasks, limit=10)
    assert fewer.report.data.limited
    with pytest.raises(NotComparable):
        gp.compare(before, fewer)
    with pytest.raises(DataError, match="could not run 'no_such_task'"):
        evaluate_with_lm_eval(model, decoder.tokenizer, "no_such_task")
    before.save(tmp_path / "run")
