"""The noise arm is the same model on the same examples, and differs by rounding only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gelu_patch.tasks import LoadedModel, TextExamples, evaluate_model
from gelu_patch.tasks.noise import other_batch_size, other_threads

from .tiny import tiny_documents


@pytest.mark.parametrize("n", [1, 5, 256])
def test_the_same_examples_again_in_other_batches(loaded: LoadedModel, examples: TextExamples, n: int) -> None:
    found = evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer, noise_examples=n)
    noise = found.noise
    assert noise is not None
    assert len(noise) == min(n, len(examples))
    places = [examples.ids.index(key) for key in noise.ids]
    assert places == sorted(places)
    assert noise.label.tolist() == found.predictions.label[places].tolist()
    np.testing.assert_allclose(noise.logits, found.predictions.logits[places], rtol=0, atol=2e-6)
    assert found.report.files == {
        "predictions": "predictions.parquet",
        "noise": "predictions_noise.parquet",
        "drift": "drift.parquet",
    }


def test_it_can_be_turned_off(loaded: LoadedModel, examples: TextExamples) -> None:
    found = evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer, noise_examples=0)
    assert (found.noise, found.drift) == (None, None)
    assert found.report.files == {"predictions": "predictions.parquet"}


def test_hidden_states_are_the_means_over_the_tokens(loaded: LoadedModel, examples: TextExamples) -> None:
    drift = evaluate_model(loaded.model, data=examples, tokenizer=loaded.tokenizer).drift
    assert drift is not None
    assert drift.ids == list(examples.ids)
    assert [layer.shape for layer in drift.own] == [(24, 32)] * 3  # the embeddings and two layers
    model = loaded.model.eval()
    for place in (0, 6):
        with torch.no_grad():
            inputs = loaded.tokenizer(examples.texts[place], return_tensors="pt")
            states = model(**inputs, output_hidden_states=True).hidden_states
        for own, noise, state in zip(drift.own, drift.noise, states, strict=True):
            np.testing.assert_allclose(own[place], state[0].mean(dim=0), rtol=0, atol=3e-6)
            np.testing.assert_allclose(noise[place], own[place], rtol=0, atol=3e-6)


def test_a_model_that_shows_no_hidden_states(loaded: LoadedModel, examples: TextExamples) -> None:
    class Shell(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.config = loaded.model, loaded.model.config

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            return self.inner(input_ids=input_ids, attention_mask=attention_mask)

    found = evaluate_model(Shell(), data=examples, tokenizer=loaded.tokenizer)
    assert found.noise is not None
    assert found.drift is None


def test_the_layout_and_the_threads_are_others() -> None:
    assert all(other_batch_size(n) != n and other_batch_size(n) >= 1 for n in range(1, 100))
    before = torch.get_num_threads()
    with other_threads():
        assert torch.get_num_threads() != before
    assert torch.get_num_threads() == before


def test_documents_have_a_noise_arm_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    from gelu_patch.tasks import tasks

    from .tiny import save_tiny_gpt2

    loaded = tasks.get("causal-lm").load(save_tiny_gpt2(tmp_path_factory.mktemp("gpt2")))
    found = evaluate_model(loaded.model, data=tiny_documents(), tokenizer=loaded.tokenizer, task="causal-lm")
    assert found.noise is not None
    assert found.noise.ids == found.predictions.ids
    np.testing.assert_allclose(found.noise.nll, found.predictions.nll, rtol=0, atol=3e-6)
    assert [layer.shape for layer in found.drift.own] == [(12, 32)] * 3
