"""How a run was trained, seed by seed."""

from __future__ import annotations

from typing import Any

from gelu_patch.reporting.schema.section import Section


class CurvePoint(Section):
    """One optimizer step."""

    step: int
    loss: float | None
    grad_norm: float | None = None
    learning_rate: float | None = None


class GroupNorms(Section):
    """The gradient norm of one group of layers over the finite steps of a run."""

    group: str
    median: float
    p99: float
    largest: float


class SiteActivations(Section):
    """What one activation site gave at the first and at the last step where it was looked at.

    ``near_zero`` is the share of outputs between -0.001 and 0.001, ``dead`` the share of units that gave nothing else
    for a whole batch; ``most_dead`` is the largest such share over all these steps.
    """

    site: str
    steps: int
    first_mean: float | None
    last_mean: float | None
    first_near_zero: float | None
    last_near_zero: float | None
    first_dead: float | None
    last_dead: float | None
    most_dead: float | None


class SeedRun(Section):
    """One training run. ``best`` and ``last`` are the validation metric; None without validation data.

    ``steps_to_target`` is the first step at which the mean of the last ten finite losses was at most ``target_loss``.
    ``last_checkpoint`` is the step of the last one that was written. ``grad_norm_largest`` is before clipping, over the
    finite steps.
    """

    seed: int
    steps: int = 0
    epochs: float = 0.0
    seconds: float | None = None
    best: float | None = None
    last: float | None = None
    final_loss: float | None = None
    diverged: bool = False
    nan_steps: int = 0
    target_loss: float | None = None
    steps_to_target: int | None = None
    loss_auc: float | None = None
    grad_norm_p99: float | None = None
    grad_norm_largest: float | None = None
    last_checkpoint: int | None = None
    grad_norms: list[GroupNorms] = []
    activations: list[SiteActivations] = []
    curve: list[CurvePoint] = []


class Training(Section):
    """The recipe as resolved, and one entry per seed. ``curve`` is thinned; the full log is in ``files``."""

    metric: str | None = None
    processes: int = 1
    recipe: dict[str, Any] = {}
    per_seed: list[SeedRun] = []
