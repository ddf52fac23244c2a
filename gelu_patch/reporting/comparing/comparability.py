"""May two runs be compared at all, and what else differs between them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gelu_patch.errors import NotComparable
from gelu_patch.reporting.schema import Data, Environment, Protocol, Report
from gelu_patch.reporting.storage.predictions import Predictions

_SHOWN_IDS = 3
_HASHES = (("inputs", "inputs_sha256"), ("tokenizers", "tokenizer_sha256"))
_SAME_FILE = "evaluate both arms on the same file with the same settings, then compare again"


def require_comparable(baseline: Report, candidate: Report, before: Predictions, after: Predictions) -> None:
    """Raise NotComparable, naming the difference, unless both arms answered the same questions.

    Raises InvalidMeasurement when an arm answered with NaN or infinity.
    """
    _require_same_examples(before.ids, after.ids)
    _require_same_labels(before, after)
    old, new = baseline.data or Data(), candidate.data or Data()
    if old.labels and new.labels and old.labels != new.labels:
        raise _refusal(
            "the arms use different label names",
            f"baseline {old.labels}, candidate {new.labels}",
            "map both models to the same label names in the same order",
        )
    if before.is_language_model != after.is_language_model:
        raise _refusal(
            "one arm answered with classes and the other with the loss of a text",
            "the arms did different tasks",
            "evaluate both arms with the same --task",
        )
    if before.n_classes != after.n_classes:
        raise _refusal(
            "the arms have different numbers of classes",
            f"baseline {before.n_classes}, candidate {after.n_classes}",
            "evaluate two models with the same classification head",
        )
    for what, field in _HASHES:
        one, other = getattr(old, field), getattr(new, field)
        if one and other and one != other:
            raise _refusal(
                f"the arms saw different {what}",
                f"{field} is {one[:12]}… for the baseline and {other[:12]}… for the candidate",
                _SAME_FILE,
            )
    _require_related_weights(baseline, candidate)
    before.require_finite("the baseline")
    after.require_finite("the candidate")


def _require_same_examples(before: Sequence[str], after: Sequence[str]) -> None:
    if before == after:
        return
    known, found = set(before), set(after)
    if known == found:
        raise _refusal(
            "the arms hold the same examples in another order",
            "the hash of the inputs covers their order, so equal inputs cannot be proven",
            _SAME_FILE,
        )
    parts = (("baseline", known - found), ("candidate", found - known))
    only = "; ".join(f"{len(ids)} only in the {arm}: {_few(ids)}" for arm, ids in parts if ids)
    sizes = f"baseline {len(before)} examples, candidate {len(after)}"
    raise _refusal("the arms were evaluated on different examples", f"{sizes}; {only}", _SAME_FILE)


def _few(ids: set[str]) -> str:
    first = sorted(ids)[:_SHOWN_IDS]
    return ", ".join(map(repr, first)) + (", …" if len(ids) > _SHOWN_IDS else "")


def _require_same_labels(before: Predictions, after: Predictions) -> None:
    if before.label is None or after.label is None:
        return
    different = (before.label != after.label).nonzero()[0]
    if len(different):
        names = _few({before.ids[i] for i in different})
        raise _refusal(
            f"{len(different)} examples have another label in the other arm",
            f"the labels differ for {names}",
            "evaluate both arms on the same version of the data",
        )


def _require_related_weights(baseline: Report, candidate: Report) -> None:
    if weights_differ(baseline, candidate) and baseline.training is None and candidate.training is None:
        raise _refusal(
            "the arms have different weights, and neither says that it was trained",
            "a difference between two checkpoints says nothing about an activation swap",
            "evaluate one checkpoint with and without the patch, or compare the run folders of `gelu-patch train`",
        )


def _refusal(what: str, why: str, next_step: str) -> NotComparable:
    return NotComparable(what, why=why, next_step=next_step)


def weights_differ(baseline: Report, candidate: Report) -> bool:
    """Tell whether both weights are known and differ."""
    one = baseline.subject and baseline.subject.weights_sha256
    other = candidate.subject and candidate.subject.weights_sha256
    return bool(one and other and one != other)


def trained_apart(baseline: Report, candidate: Report) -> bool:
    """Tell whether the arms were trained separately, so that the seed is the unit of their difference."""
    return weights_differ(baseline, candidate) and not (baseline.training is None and candidate.training is None)


def same_machine(one: Environment, other: Environment) -> bool:
    """Tell whether times measured in both environments may stand side by side."""
    return (one.cpu, one.gpu, one.threads) == (other.cpu, other.gpu, other.threads)


def broken_controls(report: Report) -> list[str]:
    """Return why nothing that a run measured can be believed: a kernel that fell back, a check that failed."""
    sites = report.subject.patch.plan if report.subject else []
    fallen = [site for site in sites if site.fallback]
    lines = []
    if fallen:
        lines.append(
            f"a kernel fell back at {len(fallen)} of {len(sites)} sites, first {fallen[0].site} "
            f"({fallen[0].kernel}: {fallen[0].fallback})"
        )
    failed = [check for check in report.checks if not check.passed]
    return lines + [f"the check {check.name!r} failed: {check.measured}, bar {check.bar}" for check in failed]


def describe_doubts(baseline: Report, candidate: Report) -> list[str]:
    """Return warnings about the data and the protocol of two runs that may be compared all the same."""
    lines = []
    for arm, report in (("baseline", baseline), ("candidate", candidate)):
        if report.protocol and report.protocol.model_mode == "train":
            lines.append(f"the {arm} was left in train mode: dropout makes two identical runs differ")
    old, new = baseline.data or Data(), candidate.data or Data()
    if bool(old.labels) != bool(new.labels):
        lines.append("only one arm names its classes, so the label spaces could not be compared")
    for report in (baseline, candidate):
        data = report.data or Data()
        if data.duplicate_inputs:
            lines.append(f"{data.duplicate_inputs} of {data.n} inputs occur more than once: they are no new evidence")
        if data.seen_in_training:
            lines.append(f"{data.seen_in_training} of {data.n} inputs were trained on: their quality is not general")
    return list(dict.fromkeys(lines))


def describe_differences(baseline: Report, candidate: Report) -> list[str]:
    """Return one line for everything that differs, or could not be checked, and does not forbid the comparison."""
    lines = [f"{what}: {old} -> {new}" for what, old, new in _settings(baseline, candidate) if old != new]
    if weights_differ(baseline, candidate):
        lines.insert(0, "weights: the arms were trained separately")
    old_data, new_data = baseline.data or Data(), candidate.data or Data()
    for what, field in _HASHES:
        if not (getattr(old_data, field) and getattr(new_data, field)):
            lines.append(f"{what}: not verified, a run has no {field}")
    return lines


def _settings(baseline: Report, candidate: Report) -> Iterator[tuple[str, object, object]]:
    old, new = baseline.environment, candidate.environment
    for name in {**old.packages, **new.packages}:
        yield name, old.packages.get(name), new.packages.get(name)
    for name in ("python", "os", "cpu", "threads"):
        yield name, getattr(old, name), getattr(new, name)
    yield "gpu", ", ".join(old.gpu) or "none", ", ".join(new.gpu) or "none"
    for name in {**old.env_vars, **new.env_vars}:
        yield name, old.env_vars.get(name), new.env_vars.get(name)
    before, after = baseline.protocol or Protocol(), candidate.protocol or Protocol()
    for name in ("batch_size", "padding", "max_length", "world_size", "model_mode"):
        yield name, getattr(before, name), getattr(after, name)
    if baseline.subject and candidate.subject:
        yield "dtype", baseline.subject.dtype, candidate.subject.dtype
