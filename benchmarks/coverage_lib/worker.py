"""The child process: one class a line on stdin, one row a line on the answer pipe."""

from __future__ import annotations

import json
import os
import resource
import sys

MEMORY = 12 * 2**30  # bytes of address space


def serve(answer_descriptor: int) -> None:
    """Answer requests until stdin ends. A crash of the process is a row that the parent writes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    from .catalogue import ModelClass, prepare_transformers

    prepare_transformers()
    import torch

    torch.set_num_threads(1)
    from .check import check_class

    with os.fdopen(answer_descriptor, "w") as answers:
        for line in sys.stdin:
            row = check_class(ModelClass(**json.loads(line)))
            answers.write(json.dumps(row) + "\n")
            answers.flush()
