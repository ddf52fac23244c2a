"""What training showed, in tables: every seed is there, a diverged one too, and old reports have none."""

from __future__ import annotations

from gelu_patch.reporting.rendering.training_tables import training_tables
from gelu_patch.reporting.schema import Arm, GroupNorms, SeedRun, SiteActivations, Subject, Training


def arm(name: str, *runs: SeedRun) -> Arm:
    return Arm(name=name, run=name, subject=Subject(model="m"), training=Training(per_seed=list(runs)))


def run(seed: int, **changes: object) -> SeedRun:
    fields = {
        "steps": 100,
        "loss_auc": 0.5,
        "target_loss": 0.4,
        "steps_to_target": 60,
        "grad_norms": [GroupNorms(group="head", median=1.0 + seed, p99=2.0, largest=3.0 + seed)],
        "activations": [
            SiteActivations(
                site="layer.0",
                steps=2,
                first_mean=0.1,
                last_mean=0.2,
                first_near_zero=0.5,
                last_near_zero=0.6,
                first_dead=0.0,
                last_dead=0.25 * seed,
                most_dead=0.5,
            )
        ],
    }
    return SeedRun.model_validate({"seed": seed, **fields, **changes})


def test_every_seed_and_what_is_summed_over_them() -> None:
    stability, gradients, activations = training_tables(
        [arm("relu", run(0), run(1, diverged=True, nan_steps=5, steps_to_target=None))]
    )
    assert [row[:2] for row in stability.rows] == [("relu", "0"), ("relu", "1")]
    assert stability.rows[0][4] == "60 (loss 0.4)"
    assert stability.rows[1][4] == "not reached (loss 0.4)"
    assert stability.rows[1][6] == "5, diverged"
    assert gradients.rows == [("relu", "head", "1.5", "2", "4")]
    assert activations.rows == [("relu", "layer.0", "0.1 to 0.2", "50.0% to 60.0%", "0.0% to 12.5%", "50.0%")]


def test_reports_without_this_evidence() -> None:
    old = Training.model_validate({"per_seed": [{"seed": 0, "steps": 3}]})
    tables = training_tables([Arm(name="a", run="a", subject=Subject(model="m"), training=old)])
    assert [table.caption for table in tables] == ["Convergence and stability"]
    assert training_tables([Arm(name="a", run="a", subject=Subject(model="m"))]) == []
