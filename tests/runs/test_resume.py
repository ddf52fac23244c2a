"""An evaluation that is stopped by anything ends, after a rerun, as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from gelu_patch.environment import DISABLE_VARIABLE
from gelu_patch.errors import DataNotFound, ExitCode, Interrupted, InvalidMeasurement, OutputExists
from gelu_patch.reporting.storage.predictions import Predictions
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
from gelu_patch.runs.shards import ShardStore
from gelu_patch.runs.world import World
from gelu_patch.tasks import tasks
from tests.tasks.tiny import save_tiny_bert, save_tiny_gpt2, tiny_documents, tiny_examples

ROOT = Path(__file__).parents[2]
KILLS = 20


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def job(decoder: Path) -> EvaluationJob:
    return EvaluationJob(
        source=str(decoder), data=tiny_documents(), task="causal-lm", per_device_eval_batch_size=4, noise_examples=4
    )


class Counted:
    """Counts the batches that a task answers, and may stop at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, task: str = "causal-lm") -> None:
        self.batches, self.stop_at = 0, -1
        answer = tasks.get(task).answer

        def counted(*arguments: Any) -> Any:
            if self.batches == self.stop_at:
                raise KeyboardInterrupt
            self.batches += 1
            return answer(*arguments)

        monkeypatch.setattr(tasks.get(task), "answer", counted)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [KILLS])
def test_killed_at_random_moments_the_rerun_has_the_same_bytes(decoder: Path, tmp_path: Path, kills: int) -> None:
    command = [sys.executable, str(ROOT / "tests/runs/kill_driver.py"), str(decoder), str(tmp_path), str(kills)]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    found = re.findall(r"^kill \d+ shards (\d+) finished (\d) same (\d) left (.*)$", done.stdout, re.MULTILINE)
    assert len(found) == kills, done.stdout + done.stderr[-2000:]
    assert all((same, left) == ("1", "[]") for _, _, same, left in found), done.stdout
    # The kills must have hit evaluations that were under way, or nothing was tested.
    assert sum(int(shards) > 0 and finished == "0" for shards, finished, *_ in found) >= kills // 5, done.stdout


def test_interrupted_and_gone_on_with(job: EvaluationJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = replace(job, noise_examples=0)
    whole = evaluate_run(job, tmp_path / "whole")
    counted = Counted(monkeypatch)
    counted.stop_at = 3
    task = tasks.get("causal-lm")
    items = len(task.encode(job.data, tokenizer=task.load(job.source).tokenizer, max_length=32))
    with pytest.raises(Interrupted, match=f"stopped after 12 of {items} items") as caught:
        evaluate_run(job, tmp_path / "run")
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    with pytest.raises(DataNotFound, match="not a finished run") as stopped:
        RunFolder.open(tmp_path / "run")
    assert "goes on where it was stopped" in str(stopped.value.next_step)
    partial = Predictions.load(tmp_path / "run" / "predictions_partial.parquet")
    expected = whole.predictions
    assert 0 < len(partial) < len(expected)
    for key, loss in zip(partial.ids, partial.nll, strict=True):
        assert loss == expected.nll[expected.ids.index(key)]

    counted.batches, counted.stop_at = 0, -1
    again = evaluate_run(job, tmp_path / "run")
    assert counted.batches == -(-items // 4) - 3
    assert (again.path / "predictions.parquet").read_bytes() == (whole.path / "predictions.parquet").read_bytes()
    assert not (again.path / "shards").exists()
    assert not (again.path / "predictions_partial.parquet").exists()
    log = (again.path / "run.log").read_text()
    assert [line.split(" ", 1)[1].split()[0] for line in log.splitlines()] == [
        "evaluation",
        "stopped",
        "evaluation",
        "finished:",
    ]
    assert json.loads((again.path / "env.json").read_text())["packages"]["torch"]


def test_a_finished_run_is_not_run_again(job: EvaluationJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate_run(job, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in first.path.iterdir() if path.is_file()}
    counted = Counted(monkeypatch)
    notes: list[str] = []

    class Listening:
        def note(self, text: str) -> None:
            notes.append(text)

    evaluate_run(job, tmp_path / "run", progress=Listening())  # type: ignore[arg-type]
    assert counted.batches == 0
    assert "finished: nothing was run" in notes[0]
    assert {path.name: path.read_bytes() for path in first.path.iterdir() if path.is_file()} == before
    evaluate_run(job, tmp_path / "run", overwrite=True)
    assert counted.batches > 0


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "another patch": ({"activation": "relu"}, "patch.plan"),
    "the same mathematics by other means": ({"activation": "gelu_fused"}, "patch.target"),
    "other data": ({"data": tiny_documents(9)}, "data.ids"),
    "other windows": ({"stride": 3}, "protocol.stride was None and is 3"),
    "another batch size": ({"per_device_eval_batch_size": 3}, "protocol.batch_size was 4 and is 3"),
    "another seed": ({"seed": 1}, "protocol.data_seed"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("stage", ["finished", "stopped"])
def test_another_evaluation_in_the_same_folder_is_refused(
    job: EvaluationJob, tmp_path: Path, change: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    if stage == "stopped":
        counted.stop_at = 2
        with pytest.raises(Interrupted):
            evaluate_run(job, tmp_path / "run")
        counted.stop_at = -1
    else:
        evaluate_run(job, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    fields, named = CHANGES[change]
    with pytest.raises(OutputExists, match="holds another evaluation") as caught:
        evaluate_run(replace(job, **fields), tmp_path / "run")
    assert named in str(caught.value.why)
    assert "--overwrite_output_dir" in str(caught.value.next_step)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before
    run = evaluate_run(replace(job, **fields), tmp_path / "run", overwrite=True)
    assert (run.predictions.ids, run.has_report) == (list(replace(job, **fields).data.ids), True)


def test_kernels_that_were_turned_off_meanwhile_are_named(
    job: EvaluationJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_run(job, tmp_path / "run")
    monkeypatch.setenv(DISABLE_VARIABLE, "cublaslt")
    with pytest.raises(OutputExists) as caught:
        evaluate_run(job, tmp_path / "run")
    assert f"{DISABLE_VARIABLE} was not set and is cublaslt" in str(caught.value.why)


def test_other_weights_and_another_tokenizer_are_named(job: EvaluationJob, decoder: Path, tmp_path: Path) -> None:
    import torch

    task = tasks.get("causal-lm")
    evaluate_run(job, tmp_path / "run")
    loaded = task.load(decoder)
    with torch.no_grad():
        loaded.model.transformer.h[0].mlp.c_fc.weight[0, 0] += 1
    loaded.model.save_pretrained(tmp_path / "other")
    loaded.tokenizer.add_tokens(["splendid"])
    loaded.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(OutputExists) as caught:
        evaluate_run(replace(job, source=str(tmp_path / "other")), tmp_path / "run")
    assert "model.weights was" in str(caught.value.why)
    assert "tokenizer was" in str(caught.value.why)


def test_the_folder_of_a_training_run_is_not_taken(job: EvaluationJob, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(OutputExists, match="already holds a run"):
        evaluate_run(job, tmp_path)


def test_the_resolved_settings_are_kept(job: EvaluationJob, tmp_path: Path) -> None:
    run = evaluate_run(job, tmp_path / "run")
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert (config["task"], config["per_device_eval_batch_size"]) == ("causal-lm", 4)
    assert config["identity"]["protocol"]["max_length"] == 32
    assert run.report.files["run_log"] == "run.log"


def test_a_shard_that_is_damaged_or_of_another_evaluation_is_answered_anew(
    job: EvaluationJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate_run(job, tmp_path / "whole")
    counted = Counted(monkeypatch)
    counted.stop_at = 4
    with pytest.raises(Interrupted):
        evaluate_run(job, tmp_path / "run", seconds_between_shards=0.0)
    shards = sorted((tmp_path / "run" / "shards").glob("*.parquet"))
    assert len(shards) == 4
    shards[0].write_bytes(shards[0].read_bytes()[:50])
    foreign = pq.read_table(shards[1])
    pq.write_table(foreign.replace_schema_metadata({b"gelu_patch.key": b"another"}), shards[1])
    counted.stop_at = -1
    run = evaluate_run(job, tmp_path / "run")
    assert (run.path / "predictions.parquet").read_bytes() == (whole.path / "predictions.parquet").read_bytes()


def test_a_lost_answer_is_noticed(job: EvaluationJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gelu_patch.tasks.answers import AnswerSheet

    put = AnswerSheet.put
    monkeypatch.setattr(
        AnswerSheet, "put", lambda self, items, answers: None if 3 in items else put(self, items, answers)
    )
    with pytest.raises(InvalidMeasurement, match="never answered"):
        evaluate_run(job, tmp_path / "run")


def test_the_shares_of_two_processes_make_the_whole(
    job: EvaluationJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process and the first in turns, without speaking: what each leaves on disk is all that counts."""
    whole = evaluate_run(job, tmp_path / "whole")

    class Apart(World):
        def wait(self) -> None:
            """Nobody else is here."""

        def all_say(self, mine: Any) -> list[Any]:
            return [mine]

        def first_only(self, do: Any) -> Any:
            return do()

    monkeypatch.setattr(World, "joined", lambda self: contextlib.nullcontext())
    monkeypatch.setattr("gelu_patch.runs.evaluate.check_ranks", lambda model: None)
    monkeypatch.setenv("WORLD_SIZE", "2")  # as their launcher would
    for rank in (1, 0) * 4:  # each time one of them answers its share of what is missing
        monkeypatch.setattr(World, "from_environment", lambda rank=rank: Apart(rank, 2))
        with contextlib.suppress(InvalidMeasurement):
            evaluate_run(job, tmp_path / "run")
            break
    else:
        pytest.fail("the shares never made the whole")
    found = (tmp_path / "run" / "predictions.parquet").read_bytes()
    assert found == (whole.path / "predictions.parquet").read_bytes()


def test_shards_hold_what_was_put_in(tmp_path: Path) -> None:
    store = ShardStore(tmp_path / "shards", "key", seconds_between=1e9)
    logits = [np.array([1.5, -2.25], np.float32), np.array([0.1, 3e-30], np.float32)]
    uneven = {
        "token_nll": [np.array([0.5], np.float32), np.array([], np.float32)],
        "token_pred": [np.array([7]), np.array([], np.int64)],
    }
    store.add(3, [5, 1], {"logits": logits})
    store.flush()
    store.add(0, [2, 4], uneven)
    assert [number for number, *_ in store.batches()] == [3]
    store.flush()
    found = {number: (items, answers) for number, items, answers in store.batches()}
    assert found[3][0] == [5, 1]
    assert all(np.array_equal(one, other) for one, other in zip(found[3][1]["logits"], logits, strict=True))
    for name, rows in uneven.items():
        for one, other in zip(found[0][1][name], rows, strict=True):
            assert one.tolist() == other.tolist()
            assert one.dtype == other.dtype
    assert list(ShardStore(tmp_path / "shards", "other").batches()) == []
    store.remove()
    assert not (tmp_path / "shards").exists()


def test_a_classifier_is_resumed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = EvaluationJob(
        source=str(save_tiny_bert(tmp_path / "bert", head=True)),
        data=replace(tiny_examples(), labels=tuple("01"[i % 2] for i in range(24))),
        per_device_eval_batch_size=4,
    )
    whole = evaluate_run(job, tmp_path / "whole")
    counted = Counted(monkeypatch, "text-classification")
    counted.stop_at = 2
    with pytest.raises(Interrupted):
        evaluate_run(job, tmp_path / "run")
    assert len(Predictions.load(tmp_path / "run" / "predictions_partial.parquet")) == 8
    counted.stop_at = -1
    run = evaluate_run(job, tmp_path / "run")
    assert (run.path / "predictions.parquet").read_bytes() == (whole.path / "predictions.parquet").read_bytes()
    assert len(run.noise or []) == 24
    assert run.drift is not None
