"""One process at a time in a run folder; what a killed process left is recognised."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_patch.errors import OutputExists
from gelu_patch.reporting.storage.lock import LOCK, owner_of, run_lock
from gelu_patch.reporting.storage.run_folder import RunFolder

HOLD = """
import sys, time
from pathlib import Path
from gelu_patch.reporting.storage.lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_and_told_whom_to_wait_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(OutputExists, match="a run is going on") as caught, run_lock(tmp_path):
        pass
    assert f"process {holder.pid} on {socket.gethostname()}" in str(caught.value.why)
    owner = owner_of(tmp_path)
    assert owner is not None
    assert owner.pid == holder.pid
    with pytest.raises(OutputExists, match="a run is going on"):
        RunFolder.open(tmp_path)


def test_what_a_killed_process_left_is_stale(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    assert owner_of(tmp_path) is None
    with run_lock(tmp_path):
        assert owner_of(tmp_path).pid == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_a_number_that_another_process_has_now_is_stale(tmp_path: Path) -> None:
    content = {"pid": os.getpid(), "host": socket.gethostname(), "started": 1.0}
    (tmp_path / LOCK).write_text(json.dumps(content))
    assert owner_of(tmp_path) is None
    with run_lock(tmp_path):
        pass


def test_another_machines_lock_is_believed(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(json.dumps({"pid": 1, "host": "elsewhere", "started": 1.0}))
    assert owner_of(tmp_path).host == "elsewhere"
    with pytest.raises(OutputExists, match="going on") as caught, run_lock(tmp_path):
        pass
    assert "remove the lock file" in str(caught.value.next_step)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_lock_file_that_says_nothing_is_stale(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content)
    assert owner_of(tmp_path) is None
    with run_lock(tmp_path):
        pass


def test_it_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path):
        raise ZeroDivisionError
    with run_lock(tmp_path):
        pass
