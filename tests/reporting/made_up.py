"""Made-up runs: predictions and reports of arms that never existed, with flips that a test can choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gelu_patch.reporting.schema import (
    AAControl,
    ActivationShare,
    CurvePoint,
    Data,
    Environment,
    Fidelity,
    Flip,
    Latency,
    Memory,
    PatchSummary,
    Protocol,
    Quality,
    Report,
    SeedRun,
    Subject,
    Tool,
    Training,
)
from gelu_patch.reporting.series import histogram, medians, quantiles
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.stats.single import wilson_interval


@dataclass
class MadeUpRun:
    """A run in memory."""

    report: Report
    predictions: Predictions


def predictions(n: int, *, b: int = 0, c: int = 0, wrong: int = 0, noise: float = 0.0) -> Predictions:
    """Predictions of two classes: ``wrong`` examples that the baseline misses, ``b`` lost and ``c`` won back.

    Without ``b``, ``c`` and ``noise`` this is the baseline itself.
    """
    label = np.arange(n) % 2
    right = np.arange(n) >= wrong
    right[wrong : wrong + b] = False
    right[:c] = True
    strength = np.random.default_rng(0).uniform(0.5, 4.0, n) + noise * np.random.default_rng(1).normal(size=n)
    logits = np.zeros((n, 2), np.float32)
    logits[np.arange(n), np.where(right, label, 1 - label)] = strength
    return Predictions([f"ex-{i}" for i in range(n)], label.astype(np.int64), logits, np.full(n, 12))


def run(target: str = "stock", *, seeds: int = 0, weights: str = "w0", **flips: Any) -> MadeUpRun:
    """A run with its report; ``seeds`` > 0 adds a training section."""
    found = predictions(**{"n": 2000, "wrong": 200, **flips})
    right = int(found.correct.sum())
    report = Report(
        kind="train" if seeds else "eval",
        run_id=f"run-{target}" + ("" if weights == "w0" else f"-{weights}"),
        created="2026-01-02T03:04:05+00:00",
        tool=Tool(version="0.1.0", command=["gelu-patch", "eval", "--activation", target]),
        subject=Subject(model="tiny-bert", dtype="float32", weights_sha256=weights, patch=PatchSummary(target=target)),
        data=Data(
            name="sentences",
            split="test",
            n=len(found),
            labels=["negative", "positive"],
            ids_sha256=found.ids_sha256,
            inputs_sha256="a" * 64,
            tokenizer_sha256="b" * 64,
        ),
        protocol=Protocol(batch_size=32, max_length=128, seed=0),
        quality=[
            Quality(
                metric="accuracy",
                value=right / len(found),
                ci=wilson_interval(right, len(found)),
                ci_method="wilson",
                n=len(found),
            ),
            Quality(metric="nll", higher_is_better=False, value=float(found.nll.mean()), n=len(found)),
        ],
        environment=Environment(
            python="3.13.1", packages={"torch": "2.13.0", "numpy": "2.4.6"}, os="Linux 6", cpu="Xeon", threads=2
        ),
        training=training(seeds) if seeds else None,
    )
    return MadeUpRun(report, found)


def training(seeds: int, *, steps: int = 900, speed: float = 1.0) -> Training:
    """Training curves that fall from ln 2, with noise."""
    runs = []
    for seed in range(seeds):
        noise = np.random.default_rng(seed).normal(size=(2, steps))
        loss = 0.15 + 0.55 * np.exp(-speed * np.arange(steps) / 200) + 0.05 * noise[0]
        curve = [
            CurvePoint(step=i + 1, loss=float(loss[i]), grad_norm=float(2 + 0.4 * noise[1, i]), learning_rate=2e-5)
            for i in range(steps)
        ]
        last = 0.89 - 0.004 * (seed % 3) - 0.005 * (speed < 1)
        runs.append(SeedRun(seed=seed, steps=steps, best=0.9, last=last, final_loss=float(loss[-1]), curve=curve))
    return Training(metric="accuracy", per_seed=runs)


def latency(
    ratio: float | None = None, *, width: float = 0.004, shape: tuple[int, int] = (8, 128), control: float = 1.0
) -> Latency:
    """Times around 8 ms, with a ratio to the baseline unless ``ratio`` is None."""
    draw = np.random.default_rng(3)
    values = 8e-3 * (ratio or 1.0) * draw.lognormal(0, 0.03, 300)
    return Latency(
        shape=shape,
        n_pairs=300,
        p50=float(np.median(values)),
        p90=float(np.quantile(values, 0.9)),
        p99=float(np.quantile(values, 0.99)),
        ratio=ratio,
        ratio_ci=None if ratio is None else (ratio - width, ratio + width),
        quantiles=quantiles(values),
        ratio_over_time=[] if ratio is None else medians(ratio * draw.lognormal(0, 0.02, 300), 60),
        aa_control=None
        if ratio is None
        else AAControl(
            ratio=control,
            ci=(control - 0.003, control + 0.003),
            quantiles=quantiles(8e-3 * control * draw.lognormal(0, 0.03, 300)),
            ratio_over_time=medians(control * draw.lognormal(0, 0.02, 300), 60),
        ),
    )


def share(shape: tuple[int, int]) -> ActivationShare:
    """Activations that take a twentieth of the time."""
    return ActivationShare(
        shape=shape,
        n_sites=6,
        time_share=0.053,
        time_share_ci=(0.041, 0.066),
        best_ratio=0.947,
        best_ratio_ci=(0.934, 0.959),
        saved_share=0.18,
        saved_limit_share=0.12,
        valid=True,
    )


def memory(saved: int, *, phase: str = "training") -> Memory:
    """What one arm keeps for backward, in bytes, beside weights and the rest of a peak."""
    weights = 90 << 20
    return Memory(
        phase=phase,
        shape=(8, 128),
        weights_bytes=weights,
        saved_for_backward_bytes=saved,
        other_bytes=30 << 20,
        host_peak_rss_bytes=weights + saved + (30 << 20),
        activation_saved_tensors=2,
    )


def fidelity(size: float, *, layers: int = 6) -> Fidelity:
    """Logit differences around ``size``, drift that grows with depth, and noise around 1e-6 beside them."""
    return _moved(size, layers).model_copy(update={"noise": _moved(1e-6, layers)})


def _moved(size: float, layers: int) -> Fidelity:
    moved = size * np.random.default_rng(5).lognormal(0, 1.2, 2000)
    moved[: 100 if size < 1e-3 else 0] = 0
    return Fidelity(
        top1_agreement=1.0 - min(size / 10, 0.4),
        kl_mean=size**2,
        kl_p99=8 * size**2,
        max_abs_dlogit=float(moved.max()),
        per_layer_rel_err=[size * 0.1 * 1.6**layer for layer in range(layers + 1)],
        dlogit_histogram=histogram(moved),
    )


def flips(
    n: int, text: str = "a film that never quite decides what it wants to be , and is the better for it"
) -> list[Flip]:
    """Examples that changed, the worst first."""
    names = ("negative", "positive")
    return [
        Flip(
            id=f"ex-{i:04d}",
            text=f"{text} {i}",
            label=names[i % 3 % 2],
            baseline=names[i % 2],
            candidate=names[1 - i % 2],
            baseline_margin=0.31 / (i + 1),
            candidate_margin=0.22 / (i + 2),
            kl=0.4 / (i + 1),
        )
        for i in range(n)
    ]
