"""``python -m gelu_patch.timing.worker FD``: run the task that is pickled on standard input, answer on a pipe."""

from __future__ import annotations

import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection

from gelu_patch.errors import GeluPatchError


def main() -> None:
    """Send what the task sends, then its result, or what it raised: ours whole, anything else as text."""
    # The parent decides what Ctrl-C means; a traceback of each of its processes would bury its message.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with Connection(int(sys.argv[1]), readable=False) as pipe:
        outcome: tuple[str, object]
        try:
            task = pickle.load(sys.stdin.buffer)
        except Exception as error:
            pipe.send(("unreadable", f"{type(error).__name__}: {error}"))
            return
        try:
            outcome = ("result", task.run(lambda message: pipe.send(("message", message))))
        except BrokenPipeError:
            return  # nobody waits for the answer any more
        except GeluPatchError as error:
            outcome = ("error", error)
        except Exception as error:
            outcome = ("failed", (f"{type(error).__name__}: {error}", traceback.format_exc().splitlines()[-2].strip()))
        pipe.send(outcome)


if __name__ == "__main__":
    main()
