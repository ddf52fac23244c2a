"""Language models: the document is the unit, its mean loss per token the primary metric."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from gelu_patch.errors import NotComparable
from gelu_patch.reporting.comparing.compare import compare_runs
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.reporting.wording import perplexity_sentence, shown
from gelu_patch.stats.bootstrap import studentised_mean
from gelu_patch.stats.groups import by_group
from tests.reporting import made_up
from tests.reporting.made_up import MadeUpRun


def run(target: str = "stock", *, n: int = 200, harm: float = 0.0, noise: float = 0.0, tokens: int = 50) -> MadeUpRun:
    found = made_up.run(target)
    loss = 3 + np.random.default_rng(0).normal(size=n) * 0.4
    loss = loss + harm + noise * np.random.default_rng(1).normal(size=n)
    words = [np.arange(tokens, dtype=np.int64) % 7 for _ in range(n)]
    if target != "stock":
        words[0] = words[0] + 1
    found.predictions = Predictions(
        [f"doc-{i}" for i in range(n)], losses=loss, n_tokens=np.full(n, tokens), token_pred=words
    )
    return found


def test_the_loss_of_documents_is_the_primary_metric() -> None:
    base, cand = run(), run("fused", noise=1e-3)
    (nll,) = compare_runs(base, cand).results
    assert (nll.primary, nll.unit, nll.n, nll.state) == (True, "document", 200, "NON_INFERIOR")
    assert nll.ci == studentised_mean(base.predictions.nll - cand.predictions.nll).interval
    assert shown(nll).label == "NLL / token"


def test_the_perplexity_ratio_is_the_exponential_of_the_mean_difference() -> None:
    base, cand = run(), run("relu", harm=0.02, noise=0.01)
    (nll,) = compare_runs(base, cand).results
    ratio = np.exp(cand.predictions.nll.mean()) / np.exp(base.predictions.nll.mean())
    assert nll.ratio == pytest.approx(ratio)
    assert nll.ci is not None
    assert nll.ratio_ci == pytest.approx((math.exp(-nll.ci[1]), math.exp(-nll.ci[0])))
    assert perplexity_sentence(nll).startswith(f"perplexity ratio {ratio:.4f} [")


def test_a_worse_loss_must_not_ship() -> None:
    found = compare_runs(run(), run("relu", harm=0.02, noise=0.01))
    assert (found.verdict, found.exit_code) == ("DO NOT SHIP", 1)
    assert "NLL / token +0.0" in found.headline


def test_an_open_loss_says_how_many_documents_would_settle_it() -> None:
    found = compare_runs(run(), run("relu", harm=0.004, noise=0.05))
    (nll,) = found.results
    assert nll.state == "INCONCLUSIVE"
    assert nll.n_needed_80 is not None
    assert nll.n_needed_80 == pytest.approx(((1.96 + 0.8416) * 0.05 / 0.005) ** 2, rel=0.2)
    assert "documents give 80 % power" in found.headline


def test_a_few_documents_that_carry_the_change_are_shown() -> None:
    cand = run("relu")
    losses = cand.predictions.nll.copy()
    losses[:3] += 1.0
    cand.predictions = replace(cand.predictions, losses=losses)
    (nll,) = compare_runs(run(), cand).results
    assert (nll.ci, nll.effective_count, nll.carriers_90) == (None, pytest.approx(3), pytest.approx(3 / 200))
    assert "the weight of 3.0 documents" in nll.warnings[0]


@pytest.mark.parametrize(("tokens", "verdict"), [(50, "NO GAIN"), (1, "INCONCLUSIVE")])
def test_identical_documents_need_tokens_enough_to_show_a_rare_harm(tokens: int, verdict: str) -> None:
    found = compare_runs(run(tokens=tokens), run(tokens=tokens))
    assert found.verdict == verdict
    assert ("IDENTICAL ON THIS DATA" in found.headline) is (verdict == "NO GAIN")


def test_groups_of_documents_widen_the_interval() -> None:
    base, cand = run(), run("relu", noise=0.01)
    groups = [f"book-{i // 4}" for i in range(200)]
    shared = np.repeat(np.random.default_rng(5).normal(size=50) * 0.02, 4)
    cand.predictions = replace(cand.predictions, losses=cand.predictions.nll + shared)
    (alone,) = compare_runs(base, cand).results
    base.predictions, cand.predictions = (replace(each.predictions, group_id=groups) for each in (base, cand))
    (grouped,) = compare_runs(base, cand).results
    assert grouped.n_groups == 50
    assert grouped.diff == pytest.approx(alone.diff)
    expected = studentised_mean(by_group(base.predictions.nll - cand.predictions.nll, groups).values).interval
    assert grouped.ci == expected
    assert alone.ci is not None
    assert grouped.ci is not None
    assert grouped.ci[1] - grouped.ci[0] > 1.4 * (alone.ci[1] - alone.ci[0])


def test_agreement_is_counted_by_token() -> None:
    found = compare_runs(run(), run("fused", noise=1e-3)).fidelity
    assert found is not None
    assert found.top1_agreement == pytest.approx(1 - 50 / (200 * 50))
    assert (found.kl_mean, found.max_abs_dlogit) == (None, None)


def test_a_loss_is_not_compared_with_classes() -> None:
    classifier = made_up.run(n=200)
    classifier.predictions = replace(classifier.predictions, ids=[f"doc-{i}" for i in range(200)])
    with pytest.raises(NotComparable, match="classes"):
        compare_runs(run(), classifier)


def test_a_margin_on_what_a_language_model_has_not_is_no_pass() -> None:
    found = compare_runs(run(), run("fused", noise=1e-3), margins={"accuracy": "1pp"})
    assert found.headline == (
        "INCONCLUSIVE: quality non-inferior, but accuracy has a margin but was not measured in both arms"
    )
