"""The C kernels read and write no byte beyond their arrays: all loops under AddressSanitizer and UBSan."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from gelu_patch.kernels.cpu.library import ACTIVATIONS, ELEMENTS, SOURCES
from tests.kernels.sanitized_job import DIRECTIONS, LENGTHS

COMPILER = shutil.which("gcc")
JOB = Path(__file__).parent / "sanitized_job.py"

pytestmark = pytest.mark.skipif(
    COMPILER is None or not sys.platform.startswith("linux"), reason="needs gcc and its sanitizers on Linux"
)


def _runtimes() -> str:
    """The sanitizers' libraries, which the unsanitized Python must load before anything else."""
    names = ("libasan.so", "libubsan.so")
    asked = [subprocess.check_output([COMPILER, f"-print-file-name={name}"], text=True).strip() for name in names]
    missing = [name for name in asked if not Path(name).is_absolute()]  # gcc repeats a name that it does not find
    if missing:
        pytest.skip(f"gcc has no {' and no '.join(missing)}")
    return " ".join(asked)


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """Run the job with an extension that was built with the sanitizers."""
    runtimes = _runtimes()
    extension = tmp_path_factory.mktemp("sanitized") / "_native.abi3.so"
    flags = ["-O2", "-g", "-std=gnu11", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run([COMPILER, *flags, *map(str, SOURCES.glob("*.c")), "-o", str(extension)], check=True)

    def run(short: str) -> subprocess.CompletedProcess[str]:
        # Python itself leaks at its end.
        environment = {**os.environ, "LD_PRELOAD": runtimes, "ASAN_OPTIONS": "detect_leaks=0"}
        numbers = [len(ACTIVATIONS), *(dtype.itemsize for dtype in ELEMENTS)]
        command = [sys.executable, str(JOB), str(extension), short, *map(str, numbers)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_no_loop_leaves_its_arrays(sanitized):
    found = sanitized("none")
    assert found.returncode == 0, found.stderr[:4000]
    runs = json.loads(found.stdout)
    assert "portable" in runs
    assert set(runs.values()) == {len(ACTIVATIONS) * len(ELEMENTS) * DIRECTIONS * len(LENGTHS)}


@pytest.mark.parametrize(("short", "access"), [("out", "WRITE"), ("x", "READ"), ("grad", "READ")])
def test_one_element_too_many_is_noticed(sanitized, short, access):
    found = sanitized(short)
    assert found.returncode != 0
    assert "heap-buffer-overflow" in found.stderr
    assert f"{access} of size" in found.stderr
