"""Every way in which a checkpoint can be missing or broken says what is missing and what to type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from gelu_patch.environment import OFFLINE_VARIABLES
from gelu_patch.errors import ExitCode, GeluPatchError, ModelNotFound, UnsupportedModel, UsageError
from gelu_patch.tasks import TextExamples, tasks
from gelu_patch.tasks.loading import explained, load_tokenizer, quiet_transformers

from .tiny import save_tiny_bert, tiny_examples

task = tasks.get("text-classification")


@pytest.fixture
def copy(encoder_path: Path, tmp_path: Path) -> Path:
    """A checkpoint of one's own, to damage."""
    return Path(shutil.copytree(encoder_path, tmp_path / "model"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    # The library reads the variable once, at its import.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def set_config(path: Path, **values: Any) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **values}))


def failure(path: Path | str, kind: type[GeluPatchError], **options: Any) -> str:
    with pytest.raises(kind) as caught:
        task.load(path, **options)
    assert caught.value.next_step
    return str(caught.value)


def test_no_such_directory(tmp_path: Path) -> None:
    assert "no such directory" in failure(tmp_path / "gone", ModelNotFound)
    assert "there is no model at" in failure("./gone", ModelNotFound)
    assert ModelNotFound.exit_code is ExitCode.ENVIRONMENT


def test_a_file_is_no_model(copy: Path) -> None:
    assert f"try the directory {copy}" in failure(copy / "config.json", ModelNotFound)


def test_a_directory_without_config(copy: Path) -> None:
    assert f"try {copy}" in failure(copy.parent, ModelNotFound)
    (copy / "config.json").unlink()
    assert "it has no config.json" in failure(copy, ModelNotFound)


def test_a_directory_without_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    assert "holds no weights" in failure(copy, ModelNotFound)


def test_damaged_weights(copy: Path) -> None:
    whole = (copy / "model.safetensors").read_bytes()
    for damaged in (b"not weights at all", whole[: len(whole) // 2]):
        (copy / "model.safetensors").write_bytes(damaged)
        assert "missing or damaged" in failure(copy, ModelNotFound)


@pytest.mark.parametrize("text", ["{not json", "{}", '{"model_type": "nobody-knows-it"}'])
def test_damaged_config(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    assert f"cannot load the model in {copy}" in failure(copy, ModelNotFound)


def test_a_directory_without_tokenizer(copy: Path) -> None:
    for file in copy.glob("*token*"):
        file.unlink()
    assert f"there is no tokenizer in {copy}" in failure(copy, ModelNotFound)


def test_a_damaged_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{")
    assert f"cannot load the tokenizer in {copy}" in failure(copy, ModelNotFound)


def test_code_in_the_checkpoint_is_not_run(copy: Path) -> None:
    (copy / "own.py").write_text("raise SystemExit('this must not run')")
    set_config(copy, model_type="own", auto_map={"AutoConfig": "own.Config"})
    assert "--trust_remote_code" in failure(copy, UnsupportedModel)


def test_a_head_of_another_size(tmp_path: Path) -> None:
    path = save_tiny_bert(tmp_path, head=True, num_labels=3)
    assert "--ignore_mismatched_sizes" in failure(path, UsageError, train=tiny_examples())
    replaced = task.load(path, train=tiny_examples(), ignore_mismatched_sizes=True)
    assert replaced.model.config.num_labels == 2
    assert "classifier.bias, classifier.weight" in replaced.notes[0]


@pytest.mark.usefixtures("offline")
def test_a_hub_name_while_offline() -> None:
    says = failure("some-org/some-model", ModelNotFound)
    assert "HF_HUB_OFFLINE" in says
    assert "give a local directory" in says


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    error = OSError("We couldn't connect")
    error.__cause__ = LocalEntryNotFoundError("no connection")
    with pytest.raises(ModelNotFound, match="from the Hub") as caught, explained("some-org/some-model"):
        raise error
    assert "cannot be reached" in str(caught.value.why)


def test_our_own_errors_pass_through() -> None:
    with pytest.raises(UsageError, match="ours"), explained("model"):
        raise UsageError("ours")


def test_a_tokenizer_without_padding_uses_its_end_of_text(copy: Path) -> None:
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    settings |= {"pad_token": None, "eos_token": "[SEP]", "tokenizer_class": "PreTrainedTokenizerFast"}
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_tokenizer(str(copy)).pad_token == "[SEP]"
    settings["eos_token"] = None
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(UnsupportedModel, match="cannot pad"):
        load_tokenizer(str(copy))


def test_transformers_is_quiet_while_loading_and_as_before_afterwards(
    encoder_path: Path, examples: TextExamples, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    task.load(encoder_path, train=examples)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(RuntimeError), quiet_transformers():
        raise RuntimeError
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
