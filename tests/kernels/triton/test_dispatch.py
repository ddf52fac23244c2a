"""When triton is imported, who is asked, and what is answered where it cannot run. No interpreter is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gelu_patch.checking.doctor import diagnose
from gelu_patch.checking.paths import COMPILED, DOWN, INFERENCE, paths
from gelu_patch.errors import UsageError
from gelu_patch.kernels import Accepted, KernelActivation, Rejected, Request, cublaslt, kernels, select
from gelu_patch.kernels.plain import plain_keys
from gelu_patch.kernels.select import best_function
from gelu_patch.kernels.triton import devices
from gelu_patch.kernels.triton.kernel import ACTIVATIONS, DTYPES, LARGEST, elementwise

ROOT = Path(__file__).parents[3]
TRITON = kernels.get("triton")


def test_nobody_without_a_gpu_imports_triton():
    """PyTorch's compiler looks for triton when it is imported itself; so the first request must not come from here."""
    code = """
import sys, traceback
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "triton":
            callers = [f.filename for f in traceback.extract_stack() if not f.filename.startswith("<frozen")]
            assert "gelu_patch" not in callers[-2], callers
sys.meta_path.insert(0, Finder())
import gelu_patch as gp
assert "triton" not in sys.modules, "imported with the package"
import torch
from tests.zoo import Mlp, example_input
model = Mlp(torch.nn.GELU())
gp.patch_model(model, "gelu_fused")
model(example_input()).sum().backward()
with torch.no_grad():
    model(example_input())
assert not [name for name in sys.modules if name.startswith("gelu_patch.kernels.triton.programs")], "imported"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def a_gpu(monkeypatch):
    """A CUDA device of an architecture to be chosen, as far as questions about it go."""
    chosen = {"capability": (9, 0)}
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a made-up GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: chosen["capability"])
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(cublaslt, "_checked", {})
    monkeypatch.setattr(devices, "_tried", {})
    monkeypatch.setattr(devices, "launch", lambda device: None)
    caches = (devices.architecture, cublaslt._in_principle, best_function)
    for cache in caches:
        cache.cache_clear()
    yield chosen
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("capability", devices.ARCHITECTURES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_known_architectures_are_served_before_anything_else(a_gpu, capability, activation):
    a_gpu["capability"] = capability
    for dtype in DTYPES:
        assert select(Request(activation, "cuda", dtype)).kernel is TRITON


@pytest.mark.parametrize(
    ("activation", "device", "dtype", "why"),
    [
        ("relu", "cuda", torch.float32, "it has no 'relu'"),
        ("gelu", "cpu", torch.float32, "CUDA devices, not on 'cpu'"),
        ("gelu", "cuda", torch.float64, "not torch.float64"),
    ],
)
def test_what_it_does_not_serve(a_gpu, activation, device, dtype, why):
    answer = TRITON.answer(Request(activation, device, dtype))
    assert isinstance(answer, Rejected)
    assert why in answer.reason


def test_an_unknown_architecture_is_refused_by_name(a_gpu):
    a_gpu["capability"] = (7, 0)
    assert "sm_70" in TRITON.answer(Request("gelu", "cuda", torch.float32)).reason
    assert "sm_70" in str(diagnose("cuda"))


def test_the_doctor_says_what_is_left_to_pytorch_and_nothing_of_kernels_for_other_devices(a_gpu, monkeypatch):
    monkeypatch.setattr(cublaslt, "self_check", lambda device, dtype: "")
    (rows,) = [section.rows for section in diagnose("cuda").sections if section.title.startswith("kernels")]
    (float64,) = [row for row in rows if row[0].startswith("gelu,") and "float64" in row[1]]
    assert float64[2] == "eager"
    assert "not torch.float64" in float64[3]
    assert not [row for row in rows if "cpu:" in row[3]]


def test_without_the_things_that_it_needs(a_gpu, monkeypatch):
    request = Request("gelu", "cuda", torch.float32)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in TRITON.answer(request).reason
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "without CUDA" in TRITON.answer(request).reason
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in TRITON.answer(request).reason


def test_a_gpu_on_which_nothing_can_be_launched_is_served_by_pytorch(a_gpu, monkeypatch):
    tries = []
    monkeypatch.setattr(devices, "launch", lambda device: tries.append(device) or Rejected("no C compiler"))
    monkeypatch.setattr(cublaslt, "self_check", lambda device, dtype: "")
    for _ in range(2):
        assert select(Request("gelu", "cuda", torch.float32)).kernel.name == "eager"
    assert tries == [torch.device("cuda", 0)]
    assert "no C compiler" in str(diagnose("cuda"))


def test_nothing_is_launched_for_the_first_time_while_a_graph_is_captured(a_gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert "captured" in devices.on(0).reason
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert devices.on(0) is None
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert devices.on(0) is None


def test_tensors_that_are_too_large_go_to_pytorch():
    kernel = elementwise("gelu", "cpu")
    large = torch.empty(1, device="meta").expand(LARGEST)
    assert not kernel.admits(large)
    assert kernel.admits(torch.empty(3))


def test_the_dispatch_keys_of_plain_tensors():
    keys = torch._C._dispatch_keys
    with torch.inference_mode():
        inference = torch.empty(0)
    assert {keys(each).raw_repr() for each in (torch.empty(0), inference)} == plain_keys("cpu")
    assert not plain_keys("cpu") & plain_keys("cuda")


def test_the_dispatch_keys_of_cuda_are_those_of_a_fake_tensor_but_for_python():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        found = torch._C._dispatch_keys(torch.empty(2, device="cuda"))
    names = torch._C.DispatchKey.__members__
    real = found.remove(names["Python"]).remove(names["PythonTLSSnapshot"])
    assert real.raw_repr() in plain_keys("cuda")


@pytest.mark.parametrize("turned_off", ["triton", "cpu", "triton, cpu"])
def test_the_variable_turns_kernels_off(a_gpu, monkeypatch, turned_off):
    monkeypatch.setenv("GELU_PATCH_DISABLE", turned_off)
    for name, device in (("triton", "cuda"), ("cpu", "cpu")):
        selection = select(Request("gelu", device, torch.float32))
        assert (selection.kernel.name == name) == (name not in turned_off)
        if name in turned_off:
            assert "GELU_PATCH_DISABLE" in dict(selection.trace)[name].reason
    assert turned_off in str(diagnose("cpu"))


def test_a_patch_that_is_loaded_where_its_kernel_is_off(monkeypatch):
    monkeypatch.setenv("GELU_PATCH_DISABLE", "cpu")
    module = KernelActivation("gelu", "cpu", original=torch.nn.GELU(), origin="gelu")
    assert module.function is kernels.get("eager").function("gelu")


def test_the_doctor_names_what_a_variable_names_wrongly(monkeypatch):
    monkeypatch.setenv("GELU_PATCH_DISABLE", "tritno")
    assert "tritno (not one of cpu, cublaslt" in str(diagnose("cpu")).replace("\n", " ")


def test_every_kernel_off_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setenv("GELU_PATCH_DISABLE", ",".join(kernels.names()))
    with pytest.raises(UsageError, match="no kernel computes 'gelu'"):
        select(Request("gelu", "cpu", torch.float32))


def answers(dtype="bfloat16"):
    found = {}
    for path in paths(torch.device("cuda")):
        if path.dtype == dtype:
            found[path.activation, path.mode] = (path.taken, path.why_not)
    return found


@pytest.mark.parametrize(
    ("capability", "variable", "why"),
    [((9, 0), "", ""), ((12, 0), "", "not used on sm_120"), ((9, 0), "cublaslt", "turned off by GELU_PATCH_DISABLE")],
)
def test_one_kernel_where_it_pays_and_nobody_turned_it_off(a_gpu, monkeypatch, capability, variable, why):
    monkeypatch.setattr(cublaslt, "self_check", lambda device, dtype: "")
    monkeypatch.setenv("GELU_PATCH_DISABLE", variable)
    a_gpu["capability"] = capability
    found = answers()
    taken, reason = found["gelu_tanh", INFERENCE]
    assert taken.startswith("cublaslt") == (not why)
    assert why in reason
    assert found["gelu_tanh", COMPILED][0].startswith("cublaslt") == (not why)
    if not variable:
        assert "gelu_tanh only, not gelu" in found["gelu", INFERENCE][1]
        assert "not torch.float32" in answers("float32")["gelu_tanh", INFERENCE][1]


def test_the_linear_behind_the_activation_is_told_about(a_gpu, monkeypatch):
    monkeypatch.setattr(cublaslt, "self_check", lambda device, dtype: "")
    assert answers()["gelu", DOWN] == ("triton, all of it in one launch in backward", "")
    assert answers("float64")["gelu", DOWN][0] == "two modules"
    taken, why = next((each.taken, each.why_not) for each in paths(torch.device("cpu")) if each.mode == DOWN)
    assert (taken, why) == ("the Linear by itself", "kernel 'cpu' has no launch for both")


def test_a_failed_self_check_is_believed_once_and_for_all(a_gpu, monkeypatch):
    checks = []
    monkeypatch.setattr(cublaslt, "self_check", lambda device, dtype: checks.append(dtype) or "it is erf")
    for _ in range(2):
        assert cublaslt.why_not("gelu_tanh", torch.device("cuda", 0), torch.bfloat16) == "it is erf"
    assert checks == [torch.bfloat16]


def test_nothing_is_checked_while_a_graph_is_captured(a_gpu, monkeypatch):
    monkeypatch.setattr(cublaslt, "self_check", lambda device, dtype: "")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    where = (torch.device("cuda", 0), torch.bfloat16)
    assert "captured" in cublaslt.why_not("gelu_tanh", *where)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert cublaslt.why_not("gelu_tanh", *where) == ""


def test_accepted_names_the_gpu(a_gpu):
    assert TRITON.answer(Request("gelu", "cuda", torch.float16)) == Accepted("a made-up GPU")
