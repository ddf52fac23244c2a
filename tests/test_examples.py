"""Every example runs."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_patch.demo.data import CHECKPOINT, SENTENCES
from gelu_patch.errors import DataNotFound
from gelu_patch.reporting.storage.run_folder import RunFolder
from tests.tasks.tiny import save_tiny_bert, save_tiny_gpt2, tiny_documents, tiny_examples

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NEEDS_DATA = {"compare_two_runs.py"}
NEEDS_ARGUMENTS = {"gemma_checkpoint.py", "small_gpt2.py", "finetune_bert.py", "finetune_gpt2.py"}


def data_is_installed() -> bool:
    try:
        return bool(CHECKPOINT.locate() and SENTENCES.locate())
    except DataNotFound:
        return False


# `make test` installs the data, so a person without it may skip and CI may not.
real = pytest.mark.skipif(
    not data_is_installed() and "CI" not in os.environ, reason="the packages with the real data are not installed"
)


def run(*arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


EXPECTED = {
    "swap_and_undo.py": "bit-equal after the undo: True",
    "swap_some_layers.py": "left alone: cls.predictions.transform.transform_act_fn: outside where",
    "compare_two_runs.py": "relu: ",
    "small_gpt2.py": "to beat: ",
    "finetune_bert.py": "verdict on gelu_fused: INCONCLUSIVE, exit code 3",
    "finetune_gpt2.py": "verdict on full fine-tuning with gelu_fused: ",
    "gemma_checkpoint.py": "add --accept_gemma_terms",
}


def test_every_example_has_an_expectation():
    assert {path.name for path in EXAMPLES} == set(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(EXPECTED) - NEEDS_DATA - NEEDS_ARGUMENTS))
def test_example(name):
    assert EXPECTED[name] in run(f"examples/{name}")


@pytest.mark.slow
def test_a_small_gpt2_of_a_corpus(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(21):
        (corpus / f"{number:02d}.txt").write_text("Fellow citizens, the state of the union is strong.\n" * 20)
    out = tmp_path / "out"
    sizes = ("--vocab_size", "300", "--n_layer", "1", "--n_embd", "16")
    found = run("examples/small_gpt2.py", str(corpus), "--output_dir", str(out), *sizes)
    assert EXPECTED["small_gpt2.py"] in found
    assert "19 texts to train on, 2 held out" in found
    assert sorted(path.name for path in out.iterdir()) == ["init", "test.jsonl", "train.jsonl"]


def flags(**given: object) -> list[str]:
    return [str(word) for name, value in given.items() for word in (f"--{name}", value)]


@pytest.mark.slow
def test_fine_tuning_a_bert(tmp_path):
    examples, table, out = tiny_examples(60), tmp_path / "table.csv", tmp_path / "out"
    with table.open("w", newline="") as file:
        rows = zip(examples.ids, examples.texts, examples.labels, strict=True)
        csv.writer(file).writerows([("id", "text", "label"), *rows])
    found = run(
        "examples/finetune_bert.py",
        *flags(model_name_or_path=save_tiny_bert(tmp_path / "bert"), train_file=table, validation_file=table),
        *flags(max_train_steps=3, output_dir=out),
    )
    assert EXPECTED["finetune_bert.py"] in found
    assert "2 of 2 GELU sites to patch" in found
    assert "gelu_fused, seed 0: accuracy" in found
    for arm in ("stock", "gelu_fused"):
        report = RunFolder.open(out / arm / "seed-0").report
        assert [(each.seed, each.steps) for each in report.training.per_seed] == [(0, 3)]
        assert (out / arm / "seed-0" / "model" / "model.safetensors").is_file()
    assert {path.name for path in out.iterdir()} >= {"report.json", "report.md", "report.html"}


@pytest.mark.slow
def test_fine_tuning_a_gpt2_whole_and_with_lora(tmp_path):
    documents, out = tmp_path / "documents.txt", tmp_path / "out"
    documents.write_text("\n\n".join(tiny_documents(40).texts))
    command = (
        "examples/finetune_gpt2.py",
        *flags(model_name_or_path=save_tiny_gpt2(tmp_path / "gpt2"), train_file=documents, validation_file=documents),
        *flags(max_train_steps=3, block_size=16, lora_r=2, output_dir=out),
    )
    found = run(*command)
    assert EXPECTED["finetune_gpt2.py"] in found
    assert "verdict on lora fine-tuning with gelu_fused: " in found
    assert (out / "lora-gelu_fused" / "model" / "adapter_config.json").is_file()
    assert not (out / "full-gelu_fused" / "model" / "adapter_config.json").exists()
    assert run(*command).count("finished before") == 4  # the same command again trains nothing


@pytest.mark.slow
def test_gemma_is_opt_in(tmp_path):
    """Its weights are never fetched by a test; without the flag nothing is done."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "gemma_checkpoint.py", "--output_dir", tmp_path / "gemma"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert EXPECTED["gemma_checkpoint.py"] in done.stderr
    assert not (tmp_path / "gemma").exists()


@real
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NEEDS_DATA))
def test_example_on_real_data(name):
    assert EXPECTED[name] in run(f"examples/{name}")
