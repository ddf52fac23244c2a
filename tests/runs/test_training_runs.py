"""Training runs as a person starts them: interrupted and repeated, with several seeds, with adapters."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from gelu_patch.errors import Interrupted, OutputExists, UsageError
from gelu_patch.patching import current_plan
from gelu_patch.reporting.comparing.arms import SeedRuns, open_arm, runs_of, seed_of
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.runs import train as module
from gelu_patch.runs.evaluate import EvaluationJob, evaluate_run
from gelu_patch.runs.progress import Silent
from gelu_patch.runs.seeds import evaluate_seeds, parse_seeds, train_seeds
from gelu_patch.runs.train import TrainingJob, train_run
from gelu_patch.runs.training_job import prepare_model
from gelu_patch.training.log import read_log
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.settings import Checkpointing, Lora
from tests.tasks.tiny import save_tiny_bert, tiny_examples

EVERY_2 = Checkpointing(checkpointing_steps="2")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(save_tiny_bert(tmp_path_factory.mktemp("checkpoint"), dropout=0.1))


def job(checkpoint, **changes):
    fields = {
        "model_name_or_path": checkpoint,
        "train": tiny_examples(),
        "recipe": Recipe(num_train_epochs=2, learning_rate=1e-3),
        "activation": "gelu_fused",
    }
    return TrainingJob(**{**fields, **changes})


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


@pytest.fixture
def stopping(monkeypatch):
    """Ctrl-C after so many steps; takes itself away."""
    real = module.finetune

    def stop_after(steps):
        def stopped(*arguments, on_step, **options):
            def step(record, total):
                on_step(record, total)
                if record.step == steps:
                    monkeypatch.setattr(module, "finetune", real)
                    raise KeyboardInterrupt

            return real(*arguments, on_step=step, **options)

        monkeypatch.setattr(module, "finetune", stopped)

    return stop_after


def weights(path):
    return (path / "model" / "model.safetensors").read_bytes()


def test_the_same_command_goes_on_and_says_so(checkpoint, tmp_path, stopping):
    train_run(job(checkpoint), tmp_path / "whole", checkpointing=EVERY_2)
    stopping(5)
    with pytest.raises(Interrupted, match="was stopped"):
        train_run(job(checkpoint), tmp_path / "cut", checkpointing=EVERY_2)
    notes = Notes()
    run = train_run(job(checkpoint), tmp_path / "cut", checkpointing=EVERY_2, progress=notes)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert ["goes on after step 4" in line for line in notes.lines] == [True]
    assert any("goes on after step 4" in line for line in run.report.warnings)
    assert [line["step"] for line in read_log(tmp_path / "cut" / "training_log.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert run.report.training.per_seed[0].last_checkpoint == 6


def test_another_command_is_refused_and_overwriting_begins_anew(checkpoint, tmp_path, stopping):
    stopping(5)
    with pytest.raises(Interrupted):
        train_run(job(checkpoint), tmp_path, checkpointing=EVERY_2)
    for changes, message in (
        ({"activation": "relu"}, "activation is 'gelu_fused' there and 'relu' here"),
        ({"recipe": Recipe(num_train_epochs=2)}, "recipe.learning_rate is 0.001 there and 5e-05 here"),
        ({"train": tiny_examples(25)}, "examples.number is 24 there and 25 here"),
    ):
        with pytest.raises(UsageError, match="of another run") as caught:
            train_run(job(checkpoint, **changes), tmp_path, checkpointing=EVERY_2)
        assert message in str(caught.value.why)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    notes = Notes()
    train_run(job(checkpoint, activation="relu"), tmp_path, checkpointing=EVERY_2, overwrite=True, progress=notes)
    assert not notes.lines
    assert RunFolder(tmp_path).report.subject.patch.target == "relu"


def test_another_model_of_the_same_shape_is_refused(checkpoint, tmp_path, stopping):
    stopping(3)
    with pytest.raises(Interrupted):
        train_run(job(checkpoint), tmp_path / "run", checkpointing=EVERY_2)
    other = shutil.copytree(checkpoint, tmp_path / "other")
    from safetensors.torch import load_file, save_file

    changed = {name: tensor * 1.01 for name, tensor in load_file(other / "model.safetensors").items()}
    save_file(changed, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="of another run") as caught:
        train_run(job(str(other)), tmp_path / "run", checkpointing=EVERY_2)
    assert "weights_sha256" in str(caught.value.why)


def test_seeds_are_runs_of_their_own_with_one_report(checkpoint, tmp_path, stopping):
    wanted = job(checkpoint, validation=tiny_examples())
    stopping(5)
    with pytest.raises(Interrupted):  # in the first seed
        train_seeds(wanted, [0, 1], tmp_path / "arm", checkpointing=EVERY_2)
    notes = Notes()
    run = train_seeds(wanted, [0, 1], tmp_path / "arm", checkpointing=EVERY_2, progress=notes)
    assert ["goes on after step 4" in line for line in notes.lines] == [True]
    assert [each.seed for each in run.report.training.per_seed] == [0, 1]
    alone = train_run(wanted.with_seed(1), tmp_path / "alone")
    assert weights(tmp_path / "arm" / "seed-1") == weights(tmp_path / "alone")
    assert weights(tmp_path / "arm" / "seed-1") != weights(tmp_path / "arm" / "seed-0")
    arm = open_arm(tmp_path / "arm")
    assert isinstance(arm, SeedRuns)
    assert [seed_of(each) for each in runs_of(arm)] == [0, 1]
    accuracy = [next(q.value for q in each.report.quality if q.metric == "accuracy") for each in runs_of(arm)]
    joined = next(q for q in run.report.quality if q.metric == "accuracy")
    assert joined.value == pytest.approx(sum(accuracy) / 2)
    assert joined.n == 2
    assert alone.report.protocol.seed == 1


def test_finished_seeds_are_left_and_others_refused(checkpoint, tmp_path):
    train_seeds(job(checkpoint), [0], tmp_path)
    (tmp_path / "report.json").unlink()
    before = weights(tmp_path / "seed-0")
    notes = Notes()
    train_seeds(job(checkpoint), [0, 1], tmp_path, progress=notes)
    assert "seed 0 is finished already" in notes.lines
    assert weights(tmp_path / "seed-0") == before
    (tmp_path / "report.json").unlink()
    with pytest.raises(OutputExists, match="another job") as caught:
        train_seeds(job(checkpoint, activation="relu"), [0, 1], tmp_path)
    assert "activation is 'gelu_fused' there and 'relu' here" in str(caught.value.why)


def test_every_seed_is_evaluated(checkpoint, tmp_path):
    train_seeds(job(checkpoint), [3, 4], tmp_path / "arm")
    done = evaluate_seeds(EvaluationJob(source=str(tmp_path / "arm"), data=tiny_examples(30)), None)
    assert [each.n for each in done.report.quality if each.metric == "accuracy"] == [2]
    assert [len(each.predictions) for each in runs_of(open_arm(tmp_path / "arm"))] == [30, 30]


@pytest.mark.parametrize("text", ["", "a", "1,1", "-1", "1,,2"])
def test_seeds_that_cannot_be_meant(text):
    with pytest.raises(UsageError, match="cannot be meant"):
        parse_seeds(text)


def test_lora_is_saved_with_its_base_and_evaluated(checkpoint, tmp_path):
    wanted = job(checkpoint, activation="relu", lora=Lora(lora_r=4), validation=tiny_examples())
    run = train_run(wanted, tmp_path, checkpointing=EVERY_2)
    config = json.loads((run.model_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], sorted(config["target_modules"])) == (4, 8, ["query", "value"])
    assert json.loads((run.model_path / "gelu_patch.json").read_text())["kind"] == "adapter"
    trained = run.predictions.logits
    again = evaluate_run(EvaluationJob(source=str(tmp_path), data=tiny_examples()))
    assert torch.allclose(torch.tensor(again.predictions.logits), torch.tensor(trained), atol=1e-6)
    assert again.report.training.per_seed[0].steps == 6
    size = sum(path.stat().st_size for path in (tmp_path / "checkpoints" / "step_00000006").iterdir())
    assert size < 200_000  # the frozen base is not in it


def test_lora_goes_on_with_the_same_bytes(checkpoint, tmp_path, stopping):
    wanted = job(checkpoint, lora=Lora(lora_r=4, lora_dropout=0.2))
    train_run(wanted, tmp_path / "whole", checkpointing=EVERY_2)
    stopping(5)
    with pytest.raises(Interrupted):
        train_run(wanted, tmp_path / "cut", checkpointing=EVERY_2)
    train_run(wanted, tmp_path / "cut", checkpointing=EVERY_2)
    first, second = (tmp_path / name / "model" / "adapter_model.safetensors" for name in ("cut", "whole"))
    assert first.read_bytes() == second.read_bytes()


def test_lora_of_both_arms_starts_alike_and_the_patch_survives(checkpoint):
    models = [
        prepare_model(job(checkpoint, activation=name, lora=Lora(lora_r=4)), "cpu").model for name in ("stock", "relu")
    ]
    first, second = (dict(model.named_parameters()) for model in models)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [len(current_plan(model).changes) for model in models] == [0, 2]


def test_lora_targets_that_do_not_exist(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="'c_attn'") as caught:
        train_run(job(checkpoint, lora=Lora(lora_r=4, lora_target_modules="query,c_attn")), tmp_path)
    assert "query, key, value, dense" in str(caught.value.why)
    assert not list(tmp_path.iterdir())


def test_checkpoints_are_not_written_unless_asked_for(checkpoint, tmp_path):
    run = train_run(job(checkpoint), tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    assert run.report.training.per_seed[0].last_checkpoint is None


def test_a_run_with_another_seed_is_another_run(checkpoint):
    assert replace(job(checkpoint)).with_seed(5).recipe.seed == 5
