"""Run a task of lm-evaluation-harness on a live model, and compare its answers sample by sample.

    before = evaluate_with_lm_eval(model, tokenizer, "arc_easy")
    with patch_model(model, "relu"):
        after = evaluate_with_lm_eval(model, tokenizer, "arc_easy")
    print(compare(before, after))

lm-eval's own comparison is unpaired. Here its samples become ``Predictions``, so both arms go through the same paired
statistics as any other evaluation. It runs in one process.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gelu_patch.blocks.libraries import products_by_torch
from gelu_patch.environment import fingerprint
from gelu_patch.errors import DataError, GeluPatchError, MissingExtra
from gelu_patch.integrations.lm_eval_samples import Sample, predictions_of, quality_of
from gelu_patch.reporting.schema import Data, Environment, Protocol, Report, Tool
from gelu_patch.reporting.storage.predictions import digest
from gelu_patch.reporting.storage.run_folder import PREDICTIONS, now
from gelu_patch.sites.modes import modes_restored
from gelu_patch.tasks.describe import describe_model
from gelu_patch.tasks.encoding import tokenizer_sha256
from gelu_patch.tasks.evaluate import Evaluation

PREFIX = "lm_eval:"  # of --task


def evaluate_with_lm_eval(
    model: nn.Module,
    tokenizer: Any,
    task: str | dict[str, Any],
    *,
    metric: str | None = None,
    batch_size: int = 8,
    num_fewshot: int | None = None,
    limit: int | None = None,
    include_path: str | Path | None = None,
    seed: int = 0,
) -> Evaluation:
    """Run one task or group of lm-eval on ``model`` as it is, patched or not; the model is left as it was.

    ``task`` is a name that lm-eval knows, also from YAML files under ``include_path``, or a task's configuration.
    ``metric`` is the one whose value per sample is compared: by default ``acc``, else ``exact_match``, else the
    perplexity of the texts. ``seed`` decides the few-shot examples. The accuracy is lm-eval's own number, over all
    samples of a group alike.

    Raises MissingExtra without lm-eval, and DataError when it cannot run the task, or its samples have no such metric,
    or one that is neither right or wrong nor a perplexity.
    """
    started = time.perf_counter()
    name = task if isinstance(task, str) else str(task.get("task", "task"))
    with _untouched(model):
        results = _run(model, tokenizer, task, batch_size, num_fewshot, limit, include_path, seed)
    samples = [Sample(own, row) for own, rows in results["samples"].items() for row in _first_filter(rows)]
    if not samples:
        raise DataError(f"lm-eval task {name!r} has no samples", next_step="name a task with a test or validation set")
    predictions = predictions_of(samples, metric)
    predictions.require_finite()
    report = Report(
        kind="eval",
        run_id=uuid.uuid4().hex[:12],
        created=now(),
        duration_s=round(time.perf_counter() - started, 3),
        tool=Tool.here(),
        subject=describe_model(model),
        data=Data(
            source="hub" if isinstance(task, str) and include_path is None else "file",
            name=f"{PREFIX}{name}",
            n=len(predictions),
            limited=limit is not None,
            ids_sha256=predictions.ids_sha256,
            inputs_sha256=digest([sample.question_sha256 for sample in samples]),
            tokenizer_sha256=tokenizer_sha256(tokenizer),
        ),
        protocol=Protocol(
            task=f"{PREFIX}{name}",
            batch_size=batch_size,
            data_seed=seed,
            deterministic=torch.are_deterministic_algorithms_enabled(),
        ),
        quality=quality_of(predictions),
        environment=Environment(**fingerprint()),
        files={"predictions": PREDICTIONS},
    )
    return Evaluation(report, predictions)


def _run(
    model: nn.Module,
    tokenizer: Any,
    task: str | dict[str, Any],
    batch_size: int,
    num_fewshot: int | None,
    limit: int | None,
    include_path: str | Path | None,
    seed: int,
) -> dict[str, Any]:
    try:
        import lm_eval
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise MissingExtra.of("lm-eval", "lm-eval", "an lm-eval task") from error
    try:
        manager = TaskManager(include_path=None if include_path is None else str(include_path))
        adapter = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size)
        results: dict[str, Any] | None = lm_eval.simple_evaluate(
            model=adapter,
            tasks=[task],
            task_manager=manager,
            num_fewshot=num_fewshot,
            limit=limit,
            log_samples=True,
            bootstrap_iters=0,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
        )
    except GeluPatchError:
        raise
    except Exception as error:  # a task can fail in as many ways as there are tasks
        raise DataError(
            f"lm-eval could not run {task!r}",
            why=f"{type(error).__name__}: {error}".splitlines()[0],
            next_step="lm-eval ls tasks shows what there is; --include_path names a folder of YAML tasks; data sets "
            "come from the Hub or its cache",
        ) from error
    assert results is not None  # this is the first process
    return results


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Give modes, random states and log levels back: lm-eval sets all of them for the whole process."""
    states, level = (random.getstate(), np.random.get_state()), logging.getLogger().level
    try:
        with modes_restored(model), products_by_torch(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.eval()
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        logging.getLogger().setLevel(level)


def _first_filter(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each sample once: a task with several filters logs it for each."""
    return [row for row in rows if row["filter"] == rows[0]["filter"]]
