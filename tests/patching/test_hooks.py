"""The attributes that keep ``save_pretrained`` honest: where they are, where they go, and that they cost nothing."""

import copy
import gc
import inspect
import io
import pickle
import weakref

import pytest
import torch

from gelu_patch.errors import UnsupportedModel
from gelu_patch.patching import load_patched, load_sidecar, patch_act2fn, patch_model, save_patched, unpatch_model
from gelu_patch.patching.hooks import SavePretrained
from tests.zoo import logits, tiny_bert, tiny_gpt2, tiny_llama


def hooked(model):
    return [name for name, module in model.named_modules() if "save_pretrained" in vars(module)]


def test_they_come_with_the_first_patch_and_go_with_the_last():
    model = tiny_bert()
    first = patch_model(model, "relu", where="layer.0.*")
    second = patch_model(model, "relu", where="layer.1.*")
    assert hooked(model) == ["", "bert"]
    first.revert()
    assert hooked(model) == ["", "bert"]
    second.revert()
    assert hooked(model) == []
    patch_model(model, "relu")
    unpatch_model(model)
    assert hooked(model) == []
    assert "save_pretrained" not in vars(model)
    assert "load_adapter" not in vars(model)


def test_a_block_that_fails_takes_them_off():
    model = tiny_bert()

    def fail():
        with patch_model(model, "relu"):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert hooked(model) == []


def round_trips():
    def through_torch(model):
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=False)

    return {"deepcopy": copy.deepcopy, "pickle": lambda m: pickle.loads(pickle.dumps(m)), "torch": through_torch}


@pytest.mark.parametrize("name", round_trips())
def test_a_copy_saves_itself_and_not_its_original(tmp_path, name):
    from transformers import AutoModelForMaskedLM

    model = tiny_bert()
    patch_model(model, "relu")
    twin = round_trips()[name](model)
    with torch.no_grad():
        twin.cls.predictions.bias.fill_(7.0)
    assert vars(twin)["save_pretrained"].model is twin
    assert vars(twin.bert)["save_pretrained"].model is twin.bert
    twin.save_pretrained(tmp_path)
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert torch.allclose(logits(plain), logits(twin), atol=1e-6)
    assert unpatch_model(twin) == 4
    assert hooked(twin) == []
    assert hooked(model) == ["", "bert"]


def test_a_model_that_nobody_else_holds_can_be_saved(tmp_path):
    def build():
        model = tiny_bert()
        patch_model(model, "gelu_fused")
        return model

    build().save_pretrained(tmp_path)
    assert load_sidecar(tmp_path) is not None


@pytest.mark.parametrize("revert", [True, False])
def test_a_deleted_model_is_freed(revert):
    model = tiny_bert()
    patch = patch_model(model, "relu")
    reference = weakref.ref(model)
    gc.collect()
    gc.disable()
    try:
        if revert:
            patch.revert()
        del model, patch
        assert revert == (reference() is None), "only a patched model waits for the collector"
    finally:
        gc.enable()
    gc.collect()
    assert reference() is None


def test_copies_of_a_model_with_rewritten_code_save_as_well(tmp_path):
    from tests.patching.test_config_names import SMALL, tiny

    model = tiny("RobertaForMaskedLM", "RobertaConfig", **SMALL, vocab_size=100)
    patch_model(model, "relu", where="lm_head.*")
    for name, twin_of in round_trips().items():
        twin = twin_of(model)
        twin.save_pretrained(tmp_path / name)
        assert load_sidecar(tmp_path / name).plan.changes[0].site == "lm_head.forward.gelu"
        assert unpatch_model(twin) == 1
        assert hooked(twin) == []


def test_keys_compile_and_signature_are_those_of_the_stock_model():
    model = tiny_gpt2()
    keys, signature = list(model.state_dict()), inspect.signature(model.save_pretrained)
    patch_model(model, "gelu_fused")
    assert list(model.state_dict()) == keys
    assert inspect.signature(model.save_pretrained) == signature
    compiled = torch.compile(model.transformer.h[0].mlp, backend="aot_eager", fullgraph=True)
    x = torch.randn(2, 3, 32)
    assert torch.allclose(compiled(x), model.transformer.h[0].mlp(x), atol=1e-6)


def test_somebody_elses_attribute_is_called_and_comes_back(tmp_path):
    model = tiny_bert()
    calls = []

    def theirs(save_directory, **kwargs):
        calls.append(kwargs)
        type(model).save_pretrained(model, save_directory, **kwargs)

    model.save_pretrained = theirs
    patch = patch_model(model, "relu", where="layer.0.*")
    model.save_pretrained(tmp_path)
    assert calls == [{"variant": "gelu_patch"}]
    assert load_sidecar(tmp_path).hidden
    patch.revert()
    assert vars(model)["save_pretrained"] is theirs


def test_other_models_of_the_process_have_none():
    model = tiny_bert()
    patch_model(model, "relu")
    assert hooked(tiny_bert()) == []
    with patch_act2fn("relu"):
        other = tiny_llama()
        inside = tiny_bert()
        assert hooked(inside) == ["", "bert"]
    assert hooked(other) == []
    assert hooked(inside) == ["", "bert"]
    unpatch_model(inside)
    assert hooked(inside) == []


def test_a_model_that_is_put_around_a_patched_one_is_honest_too(tmp_path):
    from transformers import BertConfig, BertLMHeadModel, BertModel, EncoderDecoderModel

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    encoder = BertModel(BertConfig(**small, vocab_size=50))
    decoder = BertLMHeadModel(BertConfig(**small, vocab_size=50, is_decoder=True, add_cross_attention=True))
    patch_model(encoder, "relu")
    both = EncoderDecoderModel(encoder=encoder, decoder=decoder)
    assert isinstance(vars(both)["save_pretrained"], SavePretrained)
    both.save_pretrained(tmp_path)
    sidecar = load_sidecar(tmp_path)
    assert len(sidecar.plan.changes) == 1
    assert [change.path for change in sidecar.config] == [("encoder", "hidden_act")]


@pytest.mark.parametrize("part", ["bert", "bert.encoder", "bert.encoder.layer.0.intermediate"])
def test_a_model_of_which_only_a_part_was_patched_is_not_saved_as_stock(tmp_path, part):
    model = tiny_bert()
    patch = patch_model(model.get_submodule(part), "relu")
    with pytest.raises(UnsupportedModel, match="holds a part whose activations were swapped") as caught:
        model.save_pretrained(tmp_path / "plain")
    assert "save_patched" in caught.value.next_step
    assert not list(tmp_path.glob("plain/*.safetensors"))
    assert model.state_dict().keys() == tiny_bert().state_dict().keys()
    save_patched(model, tmp_path / "patched")
    loaded, _ = load_patched(tmp_path / "patched")
    assert torch.equal(logits(loaded), logits(model))
    patch.revert()
    unpatch_model(model)
    assert hooked(model) == []
    model.save_pretrained(tmp_path / "stock")


def test_a_copy_of_a_guarded_part_is_guarded_and_freed_like_the_part(tmp_path):
    model = tiny_bert()
    patch_model(model.bert, "relu")
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    with pytest.raises(UnsupportedModel, match="holds a part"):
        twin.save_pretrained(tmp_path)
    unpatch_model(twin)
    twin.save_pretrained(tmp_path)


def test_a_patched_layer_that_is_put_into_another_model_is_seen(tmp_path):
    model, other = tiny_bert(), tiny_bert()
    patch_model(model, "relu")
    other.bert.encoder.layer[0] = model.bert.encoder.layer[0]
    with pytest.raises(UnsupportedModel, match="holds a part"):
        other.save_pretrained(tmp_path)
    save_patched(other, tmp_path)
    assert len(load_sidecar(tmp_path).plan.changes) == 1
