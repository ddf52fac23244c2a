"""The C kernels read and write no byte beyond their arrays: all loops under AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from gelu_patch.kernels.cpu.library import SOURCES
from tests.kernels.sanitized_job import LENGTHS

COMPILER = shutil.which("gcc")
SANITIZERS = ("address", "undefined")
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
    flags = ["-O2", "-g", "-std=gnu11", "-ffp-contract=off", "-shared", "-fPIC", "-DPy_LIMITED_API=0x030B0000"]
    flags += [f"-fsanitize={','.join(SANITIZERS)}", "-fno-sanitize-recover=all", f"-I{sysconfig.get_path('include')}"]
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    subprocess.run([COMPILER, *flags, *sources, "-o", str(extension)], check=True)

    def run(short: str) -> subprocess.CompletedProcess[str]:
        # Python itself leaks at its end.
        environment = {**os.environ, "LD_PRELOAD": runtimes, "ASAN_OPTIONS": "detect_leaks=0"}
        command = [sys.executable, str(JOB), str(extension), short]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_no_loop_leaves_its_arrays(sanitized):
    found = sanitized("none")
    assert found.returncode == 0, found.stderr[:4000]
    runs = int(found.stdout.split()[0])
    assert runs >= 5 * 3 * 2 * len(LENGTHS)  # the portable level at least


@pytest.mark.parametrize(("short", "access"), [("out", "WRITE"), ("x", "READ"), ("grad", "READ")])
def test_one_element_too_many_is_noticed(sanitized, short, access):
    found = sanitized(short)
    assert found.returncode != 0
    assert "heap-buffer-overflow" in found.stderr
    assert f"{access} of size" in found.stderr
