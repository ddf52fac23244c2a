"""``load_patched``, and plain Transformers inside ``patch_act2fn``."""

import json

import pytest
import torch

from gelu_patch.errors import ModelNotFound, PatchConflict, UnsupportedModel
from gelu_patch.patching import load_patched, patch_act2fn, patch_model
from gelu_patch.patching.current import current_activations
from tests.zoo import logits, tiny_bert

PARTIAL = "layer.[01].*"


def saved(directory, target, where=None):
    model = tiny_bert()
    patch_model(model, target, where)
    model.save_pretrained(directory)
    return model


def test_keyword_arguments_reach_the_config_and_the_model(tmp_path):
    saved(tmp_path, "relu")
    model, _ = load_patched(
        tmp_path, dtype=torch.bfloat16, hidden_dropout_prob=0.25, attn_implementation="eager", local_files_only=True
    )
    assert model.dtype == torch.bfloat16
    assert model.config.hidden_dropout_prob == 0.25
    assert model.config._attn_implementation == "eager"


def test_the_callers_config_is_used_and_left_alone(tmp_path):
    from transformers import AutoConfig

    saved(tmp_path, "relu")
    config = AutoConfig.from_pretrained(tmp_path, hidden_dropout_prob=0.25)
    before = config.to_dict()
    model, _ = load_patched(tmp_path, config=config)
    assert model.config.hidden_dropout_prob == 0.25
    assert config.to_dict() == before


def test_a_config_without_an_architecture_asks_for_the_class(tmp_path):
    from transformers import BertForMaskedLM

    saved(tmp_path, "gelu_fused")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": None}))
    with pytest.raises(UnsupportedModel, match="names no class of transformers") as caught:
        load_patched(tmp_path)
    assert "pass model_class" in str(caught.value)
    assert len(load_patched(tmp_path, BertForMaskedLM)[1]) == 4


def test_a_stock_checkpoint_is_refused(tmp_path):
    tiny_bert().save_pretrained(tmp_path)
    with pytest.raises(ModelNotFound, match="holds no patched model"):
        load_patched(tmp_path)


# Inside patch_act2fn.


@pytest.mark.parametrize("target", ["relu", "silu", "gelu_fused"])
@pytest.mark.parametrize("where", [None, PARTIAL])
def test_load_patched_gives_what_was_saved_whatever_the_block_says(tmp_path, target, where):
    model = saved(tmp_path, "relu", where)
    with patch_act2fn(target):
        loaded, patch = load_patched(tmp_path)
    assert current_activations(loaded) == current_activations(model)
    patch.revert()
    assert set(current_activations(loaded).values()) == {"gelu"}


def test_from_pretrained_in_a_block_restores_the_same_mathematics(tmp_path):
    from transformers import AutoModelForMaskedLM

    model = saved(tmp_path, "gelu_fused")
    with patch_act2fn("gelu_fused"):
        loaded = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert torch.allclose(logits(loaded), logits(model), atol=1e-6)
    assert len(load_patched(tmp_path)[1]) == 4


@pytest.mark.parametrize("target", ["relu", "silu", "gelu_fused"])
def test_from_pretrained_in_a_block_does_not_change_changed_mathematics_again(tmp_path, target):
    from transformers import AutoModelForMaskedLM

    model = saved(tmp_path, "relu")
    with patch_act2fn(target):
        loaded = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert current_activations(loaded) == current_activations(model)
    assert torch.allclose(logits(loaded), logits(model), atol=1e-6)


def test_from_pretrained_in_a_block_fails_on_hidden_weights(tmp_path):
    from transformers import AutoModelForMaskedLM

    saved(tmp_path, "relu", PARTIAL)
    with patch_act2fn("relu"), pytest.raises(OSError, match="load_patched"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)


# Code that comes with the checkpoint.

REMOTE_CODE = """
from torch import nn
from transformers import PreTrainedModel, PretrainedConfig
from transformers.activations import ACT2FN

class TinyConfig(PretrainedConfig):
    model_type = "tiny_remote"
    def __init__(self, act="gelu", **kwargs):
        self.act = act
        super().__init__(**kwargs)

class TinyModel(PreTrainedModel):
    config_class = TinyConfig
    def __init__(self, config):
        super().__init__(config)
        self.up = nn.Linear(4, 4)
        self.act = ACT2FN[config.act]
        self.fixed = nn.GELU()
        self.post_init()
    def _init_weights(self, module):
        pass
    def forward(self, x):
        return nn.functional.gelu(self.fixed(self.act(self.up(x))))
"""


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A checkpoint with its own code, and the model that Transformers makes of it."""
    import transformers
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "modeling_tiny.py").write_text(REMOTE_CODE)
    names = {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModel": "modeling_tiny.TinyModel"}
    content = {"model_type": "tiny_remote", "architectures": ["TinyModel"], "auto_map": names, "act": "gelu"}
    (source / "config.json").write_text(json.dumps(content))
    config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=True)
    return transformers.AutoModel.from_config(config, trust_remote_code=True)


@pytest.mark.parametrize("where", [None, "act"])
def test_remote_code_is_loaded_by_its_auto_class_when_it_is_trusted(tmp_path, remote, where):
    directory = tmp_path / "patched"
    patch_model(remote, "relu", where)
    remote.save_pretrained(directory)
    assert json.loads((directory / "config.json").read_text())["act"] == ("relu" if where else "gelu")
    assert (directory / "modeling_tiny.py").is_file()
    model, patch = load_patched(directory, trust_remote_code=True)
    x = torch.randn(3, 4)
    assert torch.equal(model(x), remote(x))
    assert len(patch) == (1 if where else 3)


def test_remote_code_that_is_not_trusted_names_the_flag(tmp_path, remote):
    from transformers import AutoModel

    directory = tmp_path / "patched"
    patch_model(remote, "gelu_fused")
    remote.save_pretrained(directory)
    for model_class in (None, AutoModel):
        with pytest.raises(UnsupportedModel, match="comes with its own Python code") as caught:
            load_patched(directory, model_class)
        assert "trust_remote_code=True" in str(caught.value)


def test_a_class_of_transformers_in_the_place_of_untrusted_code_names_the_flag(tmp_path, remote):
    directory = tmp_path / "patched"
    patch_model(remote, "gelu_fused")
    remote.save_pretrained(directory)
    path = directory / "config.json"
    names = {"auto_map": {"AutoModel": "modeling_tiny.TinyModel"}, "model_type": "bert"}
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    path.write_text(json.dumps(json.loads(path.read_text()) | names | sizes))
    with pytest.raises(UnsupportedModel, match="comes with its own Python code"):
        load_patched(directory)


def test_a_plan_that_fits_no_longer_is_refused(tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    saved(tmp_path, "gelu_fused")
    config = BertConfig.from_pretrained(tmp_path)
    config.hidden_act = "relu"
    BertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(PatchConflict, match="does not fit this model"):
        load_patched(tmp_path)
