"""A model card for the Hub: a section of text, and ``model-index`` metadata. What others wrote in the card stays.

https://github.com/huggingface/hub-docs/blob/main/modelcard.md describes ``model-index``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gelu_patch.errors import DataError, UsageError
from gelu_patch.reporting.rendering import views
from gelu_patch.reporting.rendering.markdown import comparison_markdown, escape
from gelu_patch.reporting.rendering.printable import printable_model
from gelu_patch.reporting.schema import Arm, Report
from gelu_patch.reporting.storage.files import write_text

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

BEGIN, END = "<!-- gelu-patch: begin -->", "<!-- gelu-patch: end -->"
SOURCE_NAME, SOURCE_URL = "gelu-patch", "https://github.com/gelu-patch/gelu-patch"

_TASKS = {  # the last part of a Transformers class: the task's id on the Hub
    "ForSequenceClassification": "text-classification",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForMaskedLM": "fill-mask",
}
_METRICS = {"mcc": "matthews_correlation"}  # ids on the Hub, where they are not ours


def update_model_card(path: Path, report: Report) -> Path:
    """Write a model card for the candidate of ``report``, or update the one at ``path``.

    A candidate is the arm of the first comparison, or the only arm. The section between the markers and the results
    whose source is gelu-patch are replaced; all else is kept. Raises DataError for a card that cannot be read,
    UsageError for a report without an arm.
    """
    report = printable_model(report)
    card = _read(path)
    arm = _candidate(report)
    try:
        data = cast("ModelCardData", card.data)
        kept = [result for result in data.eval_results or [] if result.source_url != SOURCE_URL]
        data.eval_results = [*kept, *_results(report, arm)]
        data.model_name = data.model_name or _plain_name(arm)
        card.text = _with_section(card.text, _section(report, arm), path)
        return write_text(path, str(card))
    except (TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _read(path: Path) -> ModelCard:
    from huggingface_hub import ModelCard

    if not path.exists():
        return ModelCard("---\n{}\n---\n")
    try:
        return cast("ModelCard", ModelCard.load(path))
    except Exception as error:  # of PyYAML, of the encoding, of the Hub's own checks
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"cannot update the model card {path}",
        why=why,
        next_step="mend the card, or name a new file in --model-card",
    )


def _candidate(report: Report) -> Arm:
    if not report.arms:
        raise UsageError("this report holds no arm to write a model card of", next_step="give the run folders")
    runs = [comparison.candidate_run for comparison in report.comparisons[:1]]
    return next((arm for arm in report.arms if arm.run in runs), report.arms[-1])


def _plain_name(arm: Arm) -> str:
    return arm.subject.model.rstrip("/").rsplit("/", 1)[-1]


def _results(report: Report, arm: Arm) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    data = report.data
    for quality in arm.quality:
        yield EvalResult(
            task_type=_task(arm),
            dataset_type=data.name if data and data.source == "hub" and data.name else "custom",
            dataset_name=(data.name if data else "") or "unnamed",
            dataset_split=data.split if data else None,
            dataset_revision=data.revision if data else None,
            metric_type=_METRICS.get(quality.metric, quality.metric),
            metric_value=quality.value,
            metric_name=quality.metric,
            source_name=SOURCE_NAME,
            source_url=SOURCE_URL,
        )


def _task(arm: Arm) -> str:
    found = (task for ending, task in _TASKS.items() if arm.subject.architecture.endswith(ending))
    return next(found, "text-classification")


def _section(report: Report, arm: Arm) -> str:
    patch = arm.subject.patch
    lines = [BEGIN, "## Activation swap", ""]
    if patch.n_patched:
        lines += [f"{patch.n_patched} of {patch.n_sites} activation sites: {escape(patch.target)}.", ""]
    for comparison in report.comparisons:
        lines += [comparison_markdown(comparison), ""]
        lines += [f"Covers: {escape(' · '.join(views.covered(report, comparison)))}.", ""]
        lines += [f"Does not cover: {escape(' · '.join(views.not_covered(comparison)))}.", ""]
    lines += ["Intervals are two-sided 95 % of the paired difference on the same examples.", END]
    return "\n".join(lines)


def _with_section(text: str, section: str, path: Path) -> str:
    """Put the section in the place of the old one, or at the end; the card's line ends are kept."""
    if text.count(BEGIN) > 1 or text.count(END) > 1 or text.count(BEGIN) != text.count(END):
        raise _damaged(path, f"the markers {BEGIN} and {END} do not stand there once each")
    newline = "\r\n" if "\r\n" in text else "\n"
    section = section.replace("\n", newline)
    if BEGIN not in text:
        return text.rstrip() + newline * 2 + section + newline
    before, rest = text.split(BEGIN)
    if END not in rest:
        raise _damaged(path, f"{END} stands before {BEGIN}")
    return before + section + rest.split(END)[1]
