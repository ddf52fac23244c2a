"""A fresh process that ends without an answer."""

import os
import signal
import time
from dataclasses import dataclass

import pytest

from gelu_patch.timing.processes import ProcessDied, run_in_process


@dataclass
class Ends:
    """Sends a message and ends by a signal."""

    by: signal.Signals

    def run(self, send):
        send("begun")
        os.kill(os.getpid(), self.by)
        time.sleep(60)


@pytest.mark.parametrize(
    ("by", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGKILL, ProcessDied)],
    ids=["interrupted", "killed"],
)
def test_ctrl_c_that_only_the_child_has_noticed_is_ctrl_c_and_no_failure(by, error):
    messages = []
    with pytest.raises(error, match="signal 9" if error is ProcessDied else None):
        run_in_process(Ends(by), messages.append)
    assert messages == ["begun"]
