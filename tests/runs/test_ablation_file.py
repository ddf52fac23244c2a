"""The file of an ablation: what it says, and what is said about one that cannot be meant."""

from __future__ import annotations

import pytest

from gelu_patch.errors import ExitCode, UsageError
from gelu_patch.runs.ablation_file import read_ablation
from gelu_patch.training.recipe import Recipe
from gelu_patch.training.settings import Checkpointing, Lora

GIVEN = {
    "model_name_or_path": "m",
    "train_file": "a.csv",
    "test_file": "b.csv",
    "output_dir": "out",
    "activations": ["stock", "relu"],
}


def test_what_a_file_says(tmp_path):
    path = tmp_path / "ablation.yaml"
    path.write_text(
        "{model_name_or_path: m, train_file: a.csv, test_file: b.csv, output_dir: out, activations: [relu, silu],\n"
        "columns: {text_column: review},\n"
        "recipe: {learning_rate: 2e-4, block_size: 64, checkpointing_steps: 5, lora_r: 4}}"
    )
    found = read_ablation(path)
    assert found.arms == ["stock", "relu", "silu"]
    assert found.seeds == [0, 1, 2, 3, 4]
    assert found.settings(Recipe).learning_rate == 2e-4
    assert found.settings(Checkpointing).every == 5
    assert found.settings(Lora).lora_r == 4
    assert found.max_length == 64
    assert found.columns.text_column == "review"


def test_the_baseline_is_an_arm_and_the_first_one():
    assert read_ablation(GIVEN | {"baseline": "relu"}).arms == ["relu", "stock"]
    assert read_ablation(GIVEN | {"baseline": "silu"}).arms == ["silu", "stock", "relu"]


def test_yaml_reads_no_as_false():
    assert read_ablation(GIVEN | {"recipe": {"checkpointing_steps": False}}).settings(Checkpointing).every is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sed": [1]}, "unknown key 'sed': did you mean 'seeds'?"),
        ({"activation": ["relu"]}, "unknown key 'activation': did you mean 'activations'?"),
        ({"columns": {"text_colum": "a"}}, "unknown key 'columns.text_colum': did you mean 'text_column'?"),
        ({"recipe": {"learning_rat": 1}}, "recipe: unknown key 'learning_rat': did you mean 'learning_rate'?"),
        ({"recipe": {"learning_rate": "high"}}, "recipe: --learning_rate high cannot be meant"),
        ({"recipe": {"seed": 1}}, "it has the key seeds"),
        ({"recipe": {"lora_alpha": 4}}, "LoRA flags without a rank"),
        ({"recipe": {"max_length": 8, "block_size": 8}}, "one flag"),
        ({"recipe": {"max_length": 1}}, "recipe.max_length: input should be greater"),
        ({"activations": "relu"}, "activations: input should be a valid list"),
        ({"activations": ["relv"]}, "did you mean 'relu'"),
        ({"activations": ["stock"]}, "nothing to compare with the baseline 'stock'"),
        ({"activations": ["gelu_new", "gelu_tanh"]}, "'gelu_new' and 'gelu_tanh' are one activation"),
        ({"baseline": "stok"}, "baseline: unknown activation 'stok'"),
        ({"seeds": [1, 1]}, "seeds: a seed is there twice"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": [-1]}, "seeds.0: "),
        ({"seeds": [True]}, "seeds.0: "),
        ({"seeds": "0,1"}, "seeds: input should be a valid list"),
        ({"test_file": None}, "test_file: there is nothing to compare"),
        ({"output_dir": 3}, "output_dir: "),
        ({"keep_models": "perhaps"}, "keep_models: input should be a valid boolean"),
    ],
)
def test_what_cannot_be_meant_is_named(changes, why):
    with pytest.raises(UsageError, match="cannot use the ablation") as caught:
        read_ablation(GIVEN | changes)
    assert why in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_missing_key_and_a_missing_file(tmp_path):
    with pytest.raises(UsageError) as caught:
        read_ablation({name: value for name, value in GIVEN.items() if name != "train_file"})
    assert "train_file: field required" in str(caught.value)
    with pytest.raises(UsageError, match="cannot read the ablation"):
        read_ablation(tmp_path / "absent.yaml")
