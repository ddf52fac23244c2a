"""What every job says about its arm."""

from __future__ import annotations

from dataclasses import dataclass

from gelu_patch.memory import DEFAULT, Memory
from gelu_patch.patching.selectors import Where
from gelu_patch.tasks.base import DEFAULT_TASK
from gelu_patch.timing.arms import STOCK


@dataclass(frozen=True, kw_only=True)
class Job:
    """The part that training and evaluation share.

    ``activation`` is a target of ``patch_model``, or ``stock`` to leave the model as it is, ``where`` limits its sites,
    and ``memory`` says what training keeps for backward. ``trust_remote_code`` and ``revision`` go to
    ``from_pretrained``.
    """

    activation: str = STOCK
    where: Where = None
    memory: Memory = DEFAULT
    task: str = DEFAULT_TASK
    per_device_eval_batch_size: int = 32
    trust_remote_code: bool = False
    revision: str | None = None
