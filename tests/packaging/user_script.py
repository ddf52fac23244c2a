"""What a stranger writes on top of gelu-patch, in a project whose type checkers are strict.

Checked against the installed wheel by ``benchmarks/package.py`` (mypy and pyright), and run by ``test_user_script.py``:

    python user_script.py CHECKPOINT TABLE FOLDER

CHECKPOINT is a BERT, TABLE a CSV of id, text and label, and FOLDER what is written to.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import assert_type

import torch
from torch import nn

import gelu_patch as gp
from gelu_patch.errors import GeluPatchError, UnknownName
from gelu_patch.patching import Change, Rejection
from gelu_patch.reporting.outcome import Outcome
from gelu_patch.reporting.schema import Latency, Quality, Report, Result, VerdictName
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.sites import Site
from gelu_patch.tasks import Evaluation, LoadedModel, read_examples, tasks
from gelu_patch.tasks.data import TextExamples
from gelu_patch.timing import Benchmark
from gelu_patch.training.log import StepRecord


def look(model: nn.Module) -> dict[str, str | None]:
    """Return the sites of a model and what each computes."""
    census = gp.inspect_model(model)
    assert_type(census, gp.Census)
    assert_type(census.sites, tuple[Site, ...])
    others: Mapping[str, int] = census.others
    print(f"{len(census)} sites, {sum(others.values())} other activations, traced: {census.traced}")
    return {site.name: site.activation for site in census.sites}


def swap(model: nn.Module, ids: torch.Tensor) -> float:
    """Swap within a block and return the largest difference that this made to the first output."""
    before: torch.Tensor = model(input_ids=ids)[0]
    with gp.patch_model(model, {"bert.*": "relu"}, memory="speed", example_inputs={"input_ids": ids}) as patch:
        assert_type(patch, gp.Patch)
        assert_type(patch.replaced, tuple[Change, ...])
        kernels: set[str] = {change.kernel for change in patch.replaced}
        left: list[tuple[str, str]] = [(rejection.site, rejection.reason) for rejection in patch.rejected]
        after: torch.Tensor = model(input_ids=ids)[0]
        print(f"{len(patch)} swapped by {sorted(kernels)}, {len(left)} left alone")
    assert not patch.active
    return float((after - before).abs().max())


def keep_plan(model: nn.Module, path: Path) -> gp.Plan:
    """Plan, save, load, apply and undo."""
    plan = gp.plan_patch(model, "gelu_fused", where="bert.encoder.*")
    rejected: tuple[Rejection, ...] = plan.rejected
    print(f"{plan.digest[:8]}: {len(plan.changes)} of {plan.n_sites}, {len(rejected)} left alone")
    loaded = gp.Plan.load(plan.save(path))
    patch: gp.Patch = gp.apply_plan(model, loaded)
    patch.revert()
    undone: int = gp.unpatch_model(model)
    assert undone == 0
    return loaded


def train(loaded: LoadedModel, examples: TextExamples) -> Evaluation:
    """Fine-tune a little, then score."""
    task = tasks.get("text-classification")
    losses: list[float] = []

    def note(record: StepRecord, total: int) -> None:
        losses.append(record.loss)
        print(f"step {record.step} of {total}: {record.loss:.3f}")

    data = task.encode(examples, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=16)
    recipe = gp.Recipe(learning_rate=1e-3, max_train_steps=2, per_device_train_batch_size=4)
    training = gp.finetune(loaded.model, data, recipe, loss=task.loss, on_step=note)
    print(f"diverged: {training.diverged}, losses: {len(losses)}")
    evaluation = gp.evaluate_model(
        loaded.model, data=examples, labels=loaded.labels, tokenizer=loaded.tokenizer, training=training
    )
    assert_type(evaluation, Evaluation)
    return evaluation


def judge(before: Evaluation, after: Evaluation, folder: Path) -> VerdictName:
    """Compare two evaluations and read the report's fields."""
    outcome = gp.compare(before, after, margins={"accuracy": "1.0pp"})
    assert_type(outcome, Outcome)
    results: list[Result] = outcome.comparison.results
    for result in results:
        low, high = result.ci if result.ci is not None else (float("nan"), float("nan"))
        print(f"{result.metric}: {result.diff:+.4f} [{low:+.4f}, {high:+.4f}], {result.state}")
    written: RunFolder = outcome.save(folder)
    report: Report = written.report
    quality: list[Quality] = report.arms[0].quality
    print(f"{quality[0].metric} {quality[0].value:.3f}; exit code {int(outcome.exit_code)}")
    return outcome.verdict


def keep_model(loaded: LoadedModel, folder: Path) -> nn.Module:
    """Save a patched model, and load it as it was saved."""
    gp.patch_model(loaded.model, "relu")
    gp.save_patched(loaded.model, folder)
    gp.unpatch_model(loaded.model)
    model, patch = gp.load_patched(folder)
    assert_type(patch, gp.Patch)
    sidecar = gp.load_sidecar(folder)
    assert sidecar is not None
    print(f"{sidecar.model}: {sidecar.plan.target}")
    assert isinstance(model, nn.Module)
    return model


def time(model: nn.Module) -> float | None:
    """Return the ratio of times, patched over stock, of the first shape."""
    found = gp.benchmark(model, ["gelu_fused"], shapes=[(1, 8)], n_pairs=3, max_pairs=3, processes=1)
    assert_type(found, Benchmark)
    latency: Latency = found.latency["gelu_fused"][0]
    print(f"median {latency.p50:.2g} {latency.unit}, {latency.n_pairs} pairs")
    return latency.ratio


def rank(options: Mapping[str, object], folder: Path) -> list[str]:
    """Train several activations and return them, the best first."""
    report: Report = gp.ablate(options, folder).report
    assert report.ablation is not None
    return [arm.name for arm in report.ablation.arms]


def main(checkpoint: str, table: str, folder: str) -> None:
    """Go through everything once."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    examples = read_examples(table)
    loaded = tasks.get("text-classification").load(checkpoint, train=examples)
    model = loaded.model.eval()
    ids = torch.arange(8).reshape(1, 8)
    print(look(model), f"largest difference {swap(model, ids):.3g}")
    keep_plan(model, out / "plan.json")
    before = train(loaded, examples)
    with gp.patch_model(loaded.model, "relu"):
        after = gp.evaluate_model(loaded.model, data=examples, labels=loaded.labels, tokenizer=loaded.tokenizer)
    print(f"verdict: {judge(before, after, out / 'compared')}")
    check: gp.PatchCheck = gp.check_patch(keep_model(loaded, out / "model"), {"input_ids": ids})
    print(check)
    ratio = time(model)
    assert ratio is not None
    print(f"ratio {ratio:.2f}")
    options = {
        "model_name_or_path": checkpoint,
        "train_file": table,
        "test_file": table,
        "activations": ["relu"],
        "seeds": [0, 1],
        "recipe": {"max_train_steps": 1, "max_length": 16},
        "columns": {"label_column": "label"},
    }
    print(f"ranked: {', '.join(rank(options, out / 'ablation'))}")
    try:
        gp.patch_model(model, "gelo")
    except UnknownName as error:
        print(f"{type(error).__name__}: {error}")
    except GeluPatchError as error:
        raise SystemExit(int(error.exit_code)) from error


if __name__ == "__main__":
    main(*sys.argv[1:])
