"""Eight threads infer while another patches and reverts: every output is the stock or the patched one."""

from __future__ import annotations

import sys
import threading
import time

import pytest
import torch

from benchmarks.threads import run
from gelu_patch.patching import patch_model
from tests.traps.helpers import CASES, TOYS, every_case, frozen_output, trap
from tests.zoo import Mlp, Stack


@pytest.fixture(autouse=True)
def _switch_often():
    """Threads change places every 10 microseconds, so that a short test meets many of them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@trap(20)
@every_case
def test_the_same_mathematics(case):
    """Any mixture of stock and patched sites is right."""
    result = run(case.stock(), case.inputs(), "gelu_fused", seconds=0.5, min_patches=4)
    assert (result.wrong, result.errors) == (0, [])
    assert result.inferences > 8


@trap(20)
@every_case
def test_other_mathematics_at_one_site(case):
    """A single site is replaced by one assignment: a forward meets the old or the new function."""
    site = next(iter(patch_model(case.stock(), "relu").replaced)).site
    result = run(case.stock(), case.inputs(), "relu", where=lambda s: s.name == site, seconds=0.5, min_patches=4)
    assert (result.wrong, result.errors) == (0, [])
    assert result.inferences > 8


@trap(20)
def test_a_wrong_output_would_be_noticed(monkeypatch):
    """The same harness on a mechanism of two assignments, which is the one that went wrong."""
    model = Stack(Mlp(torch.nn.GELU())).eval()
    case = TOYS["submodule"]

    class TwoSteps:
        def __init__(self):
            up = model.layers[0].up
            self.saved = up.forward
            up.forward = lambda x: torch.nn.functional.gelu(torch.nn.Linear.forward(up, x))
            time.sleep(1e-4)
            self.act, model.layers[0].act = model.layers[0].act, torch.nn.Identity()

        def revert(self):
            model.layers[0].act = self.act
            time.sleep(1e-4)
            del model.layers[0].up.forward

    result = run(model, case.inputs(), "gelu_fused", seconds=0.6, patch=lambda *_: TwoSteps())
    assert result.wrong > 0


@trap(20)
def test_patching_two_models_from_two_threads():
    """They meet in the lock, and nowhere else."""
    case = CASES["BERT"]
    models = [case.stock() for _ in range(4)]
    expected = frozen_output(case.stock("relu"), case.inputs())
    failures = []

    def work(model):
        try:
            for _ in range(5):
                with patch_model(model, "relu"):
                    assert torch.allclose(frozen_output(model, case.inputs()), expected, atol=1e-4)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
