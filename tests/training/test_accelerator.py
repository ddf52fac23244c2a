"""Accelerate's process-wide state is as before after a run, and what cannot be run is refused."""

from __future__ import annotations

import sys

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from gelu_patch.errors import MissingExtra, UsageError
from gelu_patch.training.accelerator import accelerator_for

from .toy import recipe


@pytest.fixture(autouse=True)
def _clean_state() -> object:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_one_precision_after_another() -> None:
    for changes in ({"bf16": True}, {}, {"bf16": True}):
        with accelerator_for(recipe(**changes)) as accelerator:
            assert accelerator.mixed_precision == recipe(**changes).mixed_precision
    assert not PartialState._shared_state


def test_process_state_of_the_caller_is_left_alone_and_precision_is_free() -> None:
    PartialState(cpu=True)
    for changes in ({"bf16": True}, {}):
        with accelerator_for(recipe(**changes)) as accelerator:
            assert accelerator.mixed_precision == recipe(**changes).mixed_precision
    assert PartialState._shared_state
    assert not AcceleratorState._shared_state


def test_state_is_cleaned_after_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), accelerator_for(recipe(bf16=True)):
        raise KeyboardInterrupt
    assert not AcceleratorState._shared_state


def test_an_accelerator_of_the_caller_is_left_alone() -> None:
    own = Accelerator(cpu=True)
    with accelerator_for(recipe()):
        pass
    assert own.num_processes == 1
    assert AcceleratorState._shared_state
    with pytest.raises(UsageError, match="'bf16'"), accelerator_for(recipe(bf16=True)):
        pass


@pytest.mark.usefixtures("no_gpu")
def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match="fp16") as caught, accelerator_for(recipe(fp16=True)):
        pass
    assert "--bf16" in str(caught.value.next_step)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtra, match="fine-tuning needs") as caught, accelerator_for(recipe()):
        pass
    assert caught.value.next_step == 'pip install "gelu-patch[train]"'
