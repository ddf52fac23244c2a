"""A library that is missing, broken, foreign, stale or wrong is not used, and says why."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import types

import pytest
import torch

from gelu_patch.kernels import Accepted, KernelActivation, Rejected, Request, kernels, select
from gelu_patch.kernels.cpu import library as cpu_library
from gelu_patch.kernels.cpu.library import EXTENSION, Library, Unavailable, library, load

REQUEST = Request("gelu", "cpu", torch.float32)
built = pytest.mark.skipif(not isinstance(library(), Library), reason="the C extension is not built")


@pytest.fixture
def without(monkeypatch):
    """Make the process believe in another result of loading."""

    def believe(found):
        monkeypatch.setattr("gelu_patch.kernels.cpu.kernel.library", lambda: found)

    return believe


def test_every_reason_reaches_the_selection_and_eager_is_used(without):
    without(Unavailable("the moon is full", "wait"))
    chosen = select(REQUEST)
    assert chosen.kernel.name == "eager"
    assert dict(chosen.trace)["cpu"] == Rejected("the moon is full", "wait")
    module = KernelActivation("gelu", "cpu", original=torch.nn.GELU(), origin="gelu")  # unpickled elsewhere
    assert torch.equal(module(torch.ones(3)), torch.nn.functional.gelu(torch.ones(3)))


def test_a_library_that_was_not_built():
    assert "was not built" in load(extension="gelu_patch.kernels.cpu._nowhere").reason
    assert "turned off" in load("off").reason


@pytest.mark.parametrize("content", [b"", b"not a library", b"\x7fELF" + bytes(100)])
def test_a_broken_file(content, tmp_path, monkeypatch):
    (tmp_path / f"_broken{sysconfig.get_config_var('EXT_SUFFIX')}").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    assert "cannot be loaded" in load(extension="_broken").reason


@pytest.mark.parametrize("content", ["x = 1", "1 / 0", "raise OSError('no')"])
def test_a_foreign_file(content, tmp_path, monkeypatch):
    (tmp_path / "_foreign.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "_foreign", raising=False)
    assert isinstance(load(extension="_foreign"), Unavailable)


@built
def test_a_library_of_other_sources_or_other_mathematics(monkeypatch):
    native = importlib.import_module(EXTENSION)
    names = {name: getattr(native, name) for name in ("levels", "run", "use_openmp")}
    monkeypatch.setitem(sys.modules, "_stale", types.SimpleNamespace(**names, SOURCES="0123"))
    assert "other sources" in load(extension="_stale").reason
    wrong = types.SimpleNamespace(**{**names, "run": lambda *arguments: None}, SOURCES=native.SOURCES)
    monkeypatch.setitem(sys.modules, "_wrong", wrong)
    assert "computes gelu(1) = 1.0" in load(extension="_wrong").reason


@built
def test_the_defaults_of_the_process_do_not_matter():
    """A tensor of a default device or dtype must not reach the check: C gets its address."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert isinstance(load(), Library)
    finally:
        torch.set_default_dtype(before)
    with torch.device("meta"):
        assert isinstance(load(), Library)


@built
def test_levels_are_forced_by_name_and_only_those_of_the_processor():
    for level in library().native.levels():
        assert load(level).level == level
    assert "this processor has" in load("avx1024").reason


@built
@pytest.mark.parametrize("level", [*(library().native.levels() if isinstance(library(), Library) else []), "off"])
def test_the_environment_variable(level):
    code = (
        "import torch; from gelu_patch.kernels import Request, select;"
        "print(select(Request('gelu', 'cpu', torch.float32)))"
    )
    environment = {**os.environ, cpu_library.VARIABLE: level}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert level in found.stdout
    assert found.stdout.splitlines()[0].endswith("eager" if level == "off" else "cpu")


@built
def test_the_native_entry_checks_its_numbers():
    native = importlib.import_module(EXTENSION)
    for arguments in (
        [],
        [0] * 8,
        [9, 0, 0, 0, 0, 0, 0, 0, 1],
        [0, 99, 0, 0, 0, 0, 0, 0, 1],
        [0, 0, 7, 0, 0, 0, 0, 0, 1],
    ):
        with pytest.raises((TypeError, ValueError)):
            native.run(*arguments)
    with pytest.raises((TypeError, OverflowError)):
        native.run(*[-1] * 9)
    native.run(0, 0, 0, 0, 0, 0, 0, 0, 1)  # nothing to do, nothing read


@built
def test_torchs_threads_are_shared():
    assert library().threads == ""
    assert kernels.get("cpu").answer(REQUEST) == Accepted(library().level)


@built
def test_it_needs_no_torch_and_no_particular_python():
    path = importlib.util.find_spec(EXTENSION).origin
    assert ".abi3." in path
    code = f"import sys; sys.path.insert(0, {os.path.dirname(path)!r}); import _native; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
