"""`gelu-patch train` on the command line: what it says, and with which exit code."""

from __future__ import annotations

import json

import pytest

from gelu_patch.cli.app import _with_optional_values
from gelu_patch.training.settings import Checkpointing, Lora, Tracking
from tests.tasks.tiny import save_tiny_gpt2


@pytest.fixture
def train(cli, checkpoint, table, tmp_path):
    def run(*arguments, into="run"):
        paths = ("--model_name_or_path", checkpoint, "--train_file", table, "--output_dir", tmp_path / into)
        return cli("train", *paths, "--max_train_steps", 3, "--quiet", *arguments)

    return run


def test_checkpoints_are_written_and_seeds_joined(train, tmp_path):
    done = train("--checkpointing_steps", 1, "--seeds", "0,1", "--target_loss", 9.0)
    assert done.code == 0, done.err
    for seed in (0, 1):
        kept = sorted(path.name for path in (tmp_path / "run" / f"seed-{seed}" / "checkpoints").iterdir())
        assert kept == ["step_00000002", "step_00000003"]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [run["seed"] for run in report["training"]["per_seed"]] == [0, 1]
    assert report["training"]["per_seed"][0]["grad_norms"]


def test_a_language_model_with_lora(cli, tmp_path):
    model = save_tiny_gpt2(tmp_path / "gpt2")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n\n".join(["good film a very dull plot"] * 40))
    paths = ("--model_name_or_path", model, "--train_file", corpus, "--output_dir", tmp_path / "run")
    flags = ("--task", "causal-lm", "--block_size", 16, "--lora_r", 2, "--activation", "gelu_fused")
    done = cli("train", *paths, *flags, "--max_train_steps", 2, "--quiet")
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "model" / "adapter_config.json").is_file()
    done = cli("eval", tmp_path / "run", "--task", "causal-lm", "--test_file", corpus, "--quiet")
    assert done.code == 0, done.err


def test_a_corpus_shorter_than_one_block(cli, tmp_path):
    model = save_tiny_gpt2(tmp_path / "gpt2")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("good film")
    paths = ("--model_name_or_path", model, "--train_file", corpus, "--output_dir", tmp_path / "run")
    done = cli("train", *paths, "--task", "causal-lm", "--block_size", 32, "--quiet")
    assert done.code == 2
    assert "shorter than one block" in done.err


def test_a_training_that_diverges_says_so_and_keeps_the_last_good_checkpoint(train, tmp_path):
    done = train(
        "--learning_rate", "1e38", "--max_train_steps", 30, "--checkpointing_steps", 1, "--max_grad_norm", 1e30
    )
    assert done.code == 5, done.err
    assert "diverged with seed 0" in done.err
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    (run,) = report["training"]["per_seed"]
    assert run["diverged"]
    assert run["nan_steps"] == 5
    assert f"the last good checkpoint is of step {run['last_checkpoint']}" in done.err
    assert (tmp_path / "run" / "checkpoints" / f"step_{run['last_checkpoint']:08d}").is_dir()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--lora_r", 4, "--lora_target_modules", "c_attn"), "c_attn"),
        (("--lora_alpha", 4), "--lora_r"),
        (("--checkpointing_steps", "often"), "often"),
        (("--checkpointing_steps", "0"), "0"),
        (("--with_tracking",), "--report_to"),
        (("--seeds", "1,1"), "1,1"),
        (("--resume_from_checkpoint",), "no checkpoint"),
        (("--resume_from_checkpoint", "nowhere"), "nowhere"),
    ],
)
def test_flags_that_cannot_be_meant(train, tmp_path, flags, word):
    done = train(*flags)
    assert done.code in (2, 6)
    assert word in done.err
    assert not (tmp_path / "run" / "report.json").exists()


def test_a_tracker_that_is_not_installed(train, monkeypatch):
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "wandb" else real(name, *a))
    done = train("--report_to", "wandb")
    assert done.code == 6
    assert "pip install wandb" in done.err


def test_a_launcher_that_started_one_process_instead_of_several(train, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    done = train()
    assert done.code == 6
    assert "several processes were asked for and 1 runs" in done.err


def test_a_flag_whose_value_may_be_left_out():
    flag = "--resume_from_checkpoint"
    assert _with_optional_values(["train", flag]) == ["train", flag, "newest"]
    assert _with_optional_values([flag, "--quiet"]) == [flag, "newest", "--quiet"]
    assert _with_optional_values(["--resume-from-checkpoint", "path"]) == ["--resume-from-checkpoint", "path"]


def test_flags_have_the_names_of_the_examples():
    from gelu_patch.training.recipe import Recipe

    names = {*Recipe.model_fields, *Checkpointing.model_fields, *Tracking.model_fields, *Lora.model_fields}
    assert names >= {
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "lr_scheduler_type",
        "num_warmup_steps",
        "max_train_steps",
        "num_train_epochs",
        "checkpointing_steps",
        "resume_from_checkpoint",
        "with_tracking",
        "report_to",
    }
