"""Every test runs offline, from the same random state, and leaves the process as it found it."""

from __future__ import annotations

import os
import sys

# Before any Hugging Face library is imported: they read these once.
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import pytest
import torch

# Read when triton is imported. With a GPU, its kernels are tested there (test_gpu.py) and compiled for it.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _on_the_cpu(request, monkeypatch):
    """On a machine with a GPU, too: only the tests marked `gpu` use it."""
    if "gpu" not in request.keywords:
        monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture(autouse=True)
def _no_accelerator_stays():
    """Accelerate keeps its settings for the process, and so does whoever makes an Accelerator without us."""
    yield
    state = sys.modules.get("accelerate.state")
    if state is not None:
        state.AcceleratorState._reset_state(reset_partial_state=True)
        state.GradientState._reset_state()


@pytest.fixture
def eager_only(monkeypatch):
    """Without compiled kernels, a swap of the same mathematics changes no bit, and whatever differs is a fault."""
    from gelu_patch.kernels.cpu.library import Unavailable

    monkeypatch.setattr("gelu_patch.kernels.cpu.kernel.library", lambda: Unavailable("turned off by a test"))


@pytest.fixture(autouse=True)
def _nothing_leaks():
    """No test may leave a patch on objects that all models of the process share."""
    import torch.nn.functional as F

    before = F.gelu
    yield
    assert F.gelu is before
    transformers_activations = sys.modules.get("transformers.activations")
    if transformers_activations is not None:
        table, original = transformers_activations.ACT2FN, transformers_activations.ACT2CLS
        assert {key: dict.__getitem__(table, key) for key in table} == dict(original)
        assert type(transformers_activations.gelu).__name__ == "GELUActivation"
