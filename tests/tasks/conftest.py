from __future__ import annotations

from pathlib import Path

import pytest

from gelu_patch.tasks import LoadedModel, TextExamples, tasks

from .tiny import save_tiny_bert, tiny_examples


@pytest.fixture(scope="session")
def encoder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without a head, as one fine-tunes; do not write into it."""
    return save_tiny_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def classifier_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a head of two classes that have no names; do not write into it."""
    return save_tiny_bert(tmp_path_factory.mktemp("classifier"), head=True)


@pytest.fixture
def examples() -> TextExamples:
    return tiny_examples()


@pytest.fixture
def loaded(encoder_path: Path, examples: TextExamples) -> LoadedModel:
    """A model with a fresh head, its tokenizer and the classes of ``examples``."""
    return tasks.get("text-classification").load(encoder_path, train=examples)
