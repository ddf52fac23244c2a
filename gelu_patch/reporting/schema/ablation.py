"""What an ablation says: every activation against the baseline, and how each of them trained."""

from __future__ import annotations

from typing import Literal

from gelu_patch.reporting.schema.section import Interval, Section

Outcome = Literal["baseline", "better", "worse", "not told apart", "diverged", "no interval"]


class AblationArm(Section):
    """One activation over all seeds.

    ``mean`` and ``sd`` are those of the metric over the seeds that did not diverge, ``per_seed`` has None for the
    others. ``diff`` = activation - baseline over paired seeds, signed so that worse is negative; ``ci`` is Student's
    interval of it alone, ``ci_holm`` that interval at the error that Holm's procedure leaves it among all activations.
    ``within_margin``: ``ci_holm`` holds no difference as large as the margin, so told apart or not, it hardly matters.
    ``tied`` are the arms that it is not told apart from. ``loss_auc`` (nat), ``near_zero`` and ``dead`` (shares, at the
    last look, over the patched sites) and ``steps_to_target`` are means over seeds, the latter over the
    ``reached_target`` of them that got there; ``grad_norm_largest`` is the largest of all, ``nan_steps`` a sum.
    """

    name: str
    rank: int
    outcome: Outcome
    seeds: int
    diverged: int = 0
    mean: float | None = None
    sd: float | None = None
    per_seed: list[float | None] = []
    diff: float | None = None
    ci: Interval | None = None
    ci_holm: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    within_margin: bool = False
    tied: list[str] = []
    final_loss: float | None = None
    loss_auc: float | None = None
    steps_to_target: float | None = None
    reached_target: int = 0
    nan_steps: int = 0
    grad_norm_largest: float | None = None
    near_zero: float | None = None
    dead: float | None = None


class Ablation(Section):
    """The arms in the order of their rank: by the mean of ``metric``, those with a diverged run last.

    ``alpha`` is two-sided, for all comparisons with the baseline together, and again for all comparisons among the
    other arms. ``margin`` is the policy's for ``metric``, in its unit. ``target_loss`` is that of the recipe or, where
    it has none, the mean loss that the baseline ends at.
    """

    baseline: str
    metric: str
    label: str = ""
    higher_is_better: bool = True
    alpha: float = 0.05
    margin: float | None = None
    target_loss: float | None = None
    arms: list[AblationArm] = []
