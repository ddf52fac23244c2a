"""Which values of a config say what a model runs: found by building, never by the name of a field."""

import pytest
import torch

from gelu_patch.errors import DataError
from gelu_patch.patching import load_patched, patch_act2fn, patch_model
from gelu_patch.patching.config_names import name_in_config, stock_config, with_changes
from gelu_patch.patching.current import current_activations, current_plan
from gelu_patch.patching.sidecar import Sidecar
from tests.zoo import tiny_bert, tiny_gpt2

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def tiny(model, config, **values):
    import transformers

    return getattr(transformers, model)(getattr(transformers, config)(**values)).eval()


def tiny_t5(**values):
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 50}
    return tiny("T5ForConditionalGeneration", "T5Config", **sizes, **values)


def tiny_clip():
    import transformers

    text = {**SMALL, "vocab_size": 99, "projection_dim": 16, "max_position_embeddings": 16}
    vision = {**SMALL, "image_size": 8, "patch_size": 4, "projection_dim": 16}
    return transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    ).eval()


def written(model):
    changes = name_in_config(model)
    return None if changes is None else {".".join(c.path): (c.old, c.new) for c in changes}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("relu", "relu"),
        ("silu", "silu"),
        ("relu2", "relu2"),
        ("gelu_tanh", "gelu_pytorch_tanh"),
        ("gelu_quick", "quick_gelu"),
        ("gelu_10", "gelu_10"),
    ],
)
def test_every_activation_that_transformers_has_is_called_by_its_name(target, name):
    model = tiny_bert()
    patch_model(model, target)
    assert written(model) == {"hidden_act": ("gelu", name)}


def test_gpt2_and_back_to_gelu():
    model = tiny_gpt2()
    patch_model(model, "gelu")
    assert written(model) == {"activation_function": ("gelu_new", "gelu")}


def test_t5_whose_field_means_something_else():
    model = tiny_t5(feed_forward_proj="gated-gelu")
    assert set(current_activations(model).values()) == {"gelu_tanh"}
    patch_model(model, "relu")
    changes = written(model)
    assert changes["dense_act_fn"] == ("gelu_new", "relu")
    rebuilt = type(model)(with_changes(model.config, name_in_config(model)))
    assert current_activations(rebuilt) == current_activations(model)


def test_a_switch_instead_of_a_name():
    model = tiny("XLMWithLMHeadModel", "XLMConfig", emb_dim=32, n_layers=2, n_heads=2, vocab_size=60, n_words=60)
    patch_model(model, "relu")
    assert written(model) == {"gelu_activation": (True, False)}


def test_sub_configs_are_named_one_by_one():
    model = tiny_clip()
    patch_model(model, "relu", where="vision_model.*")
    assert written(model) == {"vision_config.hidden_act": ("quick_gelu", "relu")}
    patch_model(model, "silu", where="text_model.*")
    assert written(model) == {
        "text_config.hidden_act": ("quick_gelu", "silu"),
        "vision_config.hidden_act": ("quick_gelu", "relu"),
    }


def test_sub_configs_survive_the_file(tmp_path):
    from transformers import CLIPModel

    model = tiny_clip()
    patch_model(model, "relu", where="vision_model.*")
    model.save_pretrained(tmp_path)
    assert current_activations(CLIPModel.from_pretrained(tmp_path)) == current_activations(model)
    loaded, patch = load_patched(tmp_path)
    assert current_activations(loaded) == current_activations(model)
    patch.revert()
    assert set(current_activations(loaded).values()) == {"gelu_quick"}


def test_no_name_for_a_part_of_what_a_field_drives():
    model = tiny_bert()
    patch_model(model, "relu", where="layer.0.*")
    assert name_in_config(model) is None
    patch_model(model, "silu", where="layer.[12].*")
    assert name_in_config(model) is None


def test_no_name_for_a_gelu_that_is_written_into_the_class():
    model = tiny("BloomForCausalLM", "BloomConfig", hidden_size=32, n_layer=2, n_head=2, vocab_size=50)
    plan = patch_model(model, "relu").plan
    assert plan.changes
    assert name_in_config(model) is None


@pytest.mark.parametrize(("where", "named"), [(None, True), ("encoder.*", False), ("classifier.*", False)])
def test_a_field_that_is_also_looked_up_in_a_forward(where, named):
    model = tiny("BigBirdForSequenceClassification", "BigBirdConfig", **SMALL, vocab_size=50)
    patch_model(model, "relu", where)
    assert written(model) == ({"hidden_act": ("gelu_new", "relu")} if named else None)


@pytest.mark.parametrize(("where", "named"), [("encoder.*", True), (None, False), ("lm_head.*", False)])
def test_a_gelu_in_the_code_of_the_head_has_no_name(where, named):
    model = tiny("RobertaForMaskedLM", "RobertaConfig", **SMALL, vocab_size=50)
    patch_model(model, "relu", where)
    assert written(model) == ({"hidden_act": ("gelu", "relu")} if named else None)


def test_no_name_where_the_config_insists(monkeypatch):
    model = tiny_bert()
    patch_model(model, "relu")
    monkeypatch.setattr(type(model.config), "from_dict", lambda *a, **k: (_ for _ in ()).throw(ValueError("only gelu")))
    assert name_in_config(model) is None


def test_a_model_without_a_config_has_no_names():
    from tests.zoo import Mlp

    model = Mlp(torch.nn.GELU())
    patch_model(model, "relu")
    assert name_in_config(model) is None


def test_looking_changes_nothing():
    model = tiny_bert()
    patch_model(model, "relu")
    before, state = model.config.to_dict(), torch.get_rng_state()
    name_in_config(model)
    assert model.config.to_dict() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_a_surrounding_patch_act2fn_is_not_mistaken_for_the_config():
    model = tiny_bert()
    patch_model(model, "relu")
    with patch_act2fn("silu"):
        assert written(model) == {"hidden_act": ("gelu", "relu")}


def test_the_stock_config_comes_back_from_the_changed_one():
    model = tiny_t5(feed_forward_proj="gated-gelu")
    patch_model(model, "relu")
    changes = name_in_config(model)
    sidecar = Sidecar.of(model, plan=current_plan(model), activations=current_activations(model), config=changes)
    changed = with_changes(model.config, changes)
    assert stock_config(changed, sidecar).to_dict() == model.config.to_dict()
    with pytest.raises(DataError, match="do not belong together") as caught:
        stock_config(model.config, sidecar)
    assert caught.value.next_step == (
        "if the plain model is meant, delete gelu_patch.json and load it with transformers; "
        "otherwise save the patched model again into an empty directory"
    )
    assert caught.value.why.endswith("somebody saved another model into this directory, or edited the config")
