"""What plain ``save_pretrained`` of a patched model writes."""

import json

import pytest
import torch

from gelu_patch.errors import DataError, UnsupportedModel
from gelu_patch.patching import load_patched, load_sidecar, patch_act2fn, patch_model, unpatch_model
from gelu_patch.patching.sidecar import SIDECAR
from tests.zoo import logits, tiny_bert, tiny_gpt2

PARTIAL = "layer.[01].*"


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def config_of(directory):
    return json.loads((directory / "config.json").read_text())


@pytest.mark.parametrize("build", [tiny_bert, tiny_gpt2])
def test_the_same_mathematics_writes_what_stock_writes_and_the_sidecar(tmp_path, build):
    model = build()
    model.save_pretrained(tmp_path / "stock")
    with patch_model(model, "gelu_fused"):
        model.save_pretrained(tmp_path / "patched")
    stock, patched = files(tmp_path / "stock"), files(tmp_path / "patched")
    assert patched.pop(SIDECAR)
    assert patched == stock


def test_the_config_names_the_new_activation_and_nothing_else_changes(tmp_path):
    from transformers import AutoModelForMaskedLM

    model = tiny_bert()
    model.save_pretrained(tmp_path / "stock")
    before, held = model.config.to_dict(), model.config
    patch_model(model, "relu")
    model.save_pretrained(tmp_path / "swapped")
    assert model.config is held
    assert model.config.to_dict() == before
    stock, swapped = config_of(tmp_path / "stock"), config_of(tmp_path / "swapped")
    assert swapped == stock | {"hidden_act": "relu"}
    assert stock["hidden_act"] == "gelu"
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path / "swapped").eval()
    assert torch.allclose(logits(plain), logits(model), atol=1e-6)


def test_what_was_renamed_in_the_config_comes_back_revertible(tmp_path):
    model = tiny_gpt2()
    stock = logits(model)
    patch_model(model, "relu")
    model.save_pretrained(tmp_path)
    loaded, patch = load_patched(tmp_path)
    assert torch.equal(logits(loaded.eval()), logits(model))
    assert loaded.config.activation_function == "gelu_new"
    patch.revert()
    assert torch.equal(logits(loaded), stock)
    assert type(loaded.transformer.h[0].mlp.act).__name__ == "NewGELUActivation"


def test_a_checkpoint_that_was_loaded_saves_the_same_again(tmp_path):
    model = tiny_bert()
    for target, where in (("relu", None), ("relu", PARTIAL), ("gelu_fused", None)):
        patch_model(model, target, where)
        model.save_pretrained(tmp_path / "first")
        loaded, _ = load_patched(tmp_path / "first")
        loaded.save_pretrained(tmp_path / "second")
        assert files(tmp_path / "first") == files(tmp_path / "second")
        unpatch_model(model)
        for folder in ("first", "second"):
            for path in (tmp_path / folder).iterdir():
                path.unlink()


def test_an_error_while_saving_leaves_the_config_alone(tmp_path, monkeypatch):
    model = tiny_bert()
    held, before = model.config, model.config.to_dict()
    patch_model(model, "relu")

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(type(model.config), "save_pretrained", fail)
    with pytest.raises(OSError, match="no space left"):
        model.save_pretrained(tmp_path)
    assert model.config is held
    assert model.config.to_dict() == before


def test_hidden_weights_in_shards(tmp_path):
    from transformers import AutoModelForMaskedLM

    model = tiny_bert()
    patch_model(model, "relu", PARTIAL)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model.gelu_patch-*-of-*.safetensors"))) > 1
    assert not (tmp_path / "model.safetensors").exists()
    with pytest.raises(OSError, match="gelu_patch"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)
    loaded, _ = load_patched(tmp_path)
    assert torch.equal(logits(loaded.eval()), logits(model))


@pytest.mark.parametrize(("where", "file"), [(None, "model.half"), (PARTIAL, "model.gelu_patch-half")])
def test_a_variant_of_the_caller_is_kept(tmp_path, where, file):
    model = tiny_bert()
    patch_model(model, "relu", where)
    model.save_pretrained(tmp_path, variant="half")
    assert (tmp_path / f"{file}.safetensors").is_file()
    loaded, _ = load_patched(tmp_path, variant="half")
    assert torch.equal(logits(loaded.eval()), logits(model))


def test_positional_arguments_and_state_dict_are_passed_on(tmp_path):
    model = tiny_bert()
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    patch_model(model, "relu", PARTIAL)
    model.save_pretrained(tmp_path, True, state)
    loaded, _ = load_patched(tmp_path)
    assert not any(tensor.any() for tensor in loaded.parameters())


def test_other_processes_write_no_sidecar(tmp_path):
    model = tiny_bert()
    patch_model(model, "relu")
    model.save_pretrained(tmp_path, is_main_process=False)
    assert not (tmp_path / SIDECAR).exists()


def test_a_part_of_a_patched_model_is_saved_with_its_own_sites(tmp_path):
    from transformers import BertModel

    model = tiny_bert()
    patch_model(model, "relu", where="encoder.*")
    model.bert.save_pretrained(tmp_path)
    assert config_of(tmp_path)["hidden_act"] == "relu"
    plain = BertModel.from_pretrained(tmp_path).eval()
    assert torch.allclose(logits(plain), logits(model.bert), atol=1e-6)
    assert len(load_patched(tmp_path)[1]) == 3


def test_models_built_inside_patch_act2fn_are_saved_like_patched_ones(tmp_path):
    from transformers import AutoModelForMaskedLM

    tiny_bert().save_pretrained(tmp_path / "stock")
    with patch_act2fn("relu"):
        model = AutoModelForMaskedLM.from_pretrained(tmp_path / "stock").eval()
        model.save_pretrained(tmp_path / "inside")
    model.save_pretrained(tmp_path / "swapped")
    assert files(tmp_path / "inside") == files(tmp_path / "swapped")
    assert config_of(tmp_path / "swapped")["hidden_act"] == "relu"
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path / "swapped").eval()
    assert torch.allclose(logits(plain), logits(model), atol=1e-6)


@pytest.fixture
def _accelerate_forgets():
    """Trainer and Accelerator keep process-wide state, which the next test must not meet."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.mark.usefixtures("_accelerate_forgets")
def test_the_trainer_and_accelerate_save_through_it(tmp_path):
    from accelerate import Accelerator
    from transformers import Trainer, TrainingArguments

    model = tiny_bert()
    patch_model(model, "relu", PARTIAL)
    arguments = TrainingArguments(str(tmp_path / "run"), report_to=[], use_cpu=True)
    Trainer(model, arguments).save_model(str(tmp_path / "trainer"))
    accelerator = Accelerator(cpu=True)
    wrapped = accelerator.prepare(model)
    accelerator.unwrap_model(wrapped).save_pretrained(
        tmp_path / "accelerate", is_main_process=accelerator.is_main_process, save_function=accelerator.save
    )
    for name in ("trainer", "accelerate"):
        loaded, patch = load_patched(tmp_path / name)
        assert len(patch) == 2
        assert torch.equal(logits(loaded.eval()), logits(model.eval()))


@pytest.mark.parametrize(("where", "hidden"), [("encoder.*", False), (None, True)])
def test_a_gelu_in_the_code_of_roberta(tmp_path, where, hidden):
    from transformers import AutoModelForMaskedLM, RobertaConfig, RobertaForMaskedLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = RobertaForMaskedLM(RobertaConfig(**sizes, vocab_size=100)).eval()
    stock = logits(model)
    patch = patch_model(model, "relu", where)
    model.save_pretrained(tmp_path)
    assert config_of(tmp_path)["architectures"] == ["RobertaForMaskedLM"]
    if hidden:
        assert {change.form for change in patch.replaced} == {"module", "inline"}
        with pytest.raises(OSError, match="load_patched"):
            AutoModelForMaskedLM.from_pretrained(tmp_path)
    else:
        plain = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
        assert torch.allclose(logits(plain), logits(model), atol=1e-6)
    loaded, again = load_patched(tmp_path)
    assert torch.equal(logits(loaded.eval()), logits(model))
    again.revert()
    assert torch.equal(logits(loaded), stock)


def test_a_model_whose_own_forward_is_rewritten(tmp_path):
    from transformers import WhisperConfig, WhisperModel

    sizes = {"d_model": 16, "vocab_size": 60, "num_mel_bins": 4, "max_source_positions": 8, "pad_token_id": 0}
    parts = {
        f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads", "ffn_dim")
    }
    model = WhisperModel(WhisperConfig(**sizes, **parts)).eval()
    patch_model(model, "relu")
    model.encoder.save_pretrained(tmp_path)
    assert config_of(tmp_path)["architectures"] == ["WhisperEncoder"]
    sidecar = load_sidecar(tmp_path)
    assert (sidecar.model, sidecar.hidden) == ("WhisperEncoder", True)
    assert "forward.gelu.0" in sidecar.activations


# A directory that holds another state of the model.


def saved_then_stock(model, directory, target, where=None):
    with patch_model(model, target, where):
        model.save_pretrained(directory)
    model.save_pretrained(directory)


def test_a_stock_save_over_hidden_weights_loads_plainly_and_is_refused_here(tmp_path):
    from transformers import AutoModelForMaskedLM

    model = tiny_bert()
    saved_then_stock(model, tmp_path, "relu", PARTIAL)
    assert torch.equal(logits(AutoModelForMaskedLM.from_pretrained(tmp_path).eval()), logits(model))
    with pytest.raises(DataError, match="do not belong together"):
        load_patched(tmp_path)


def test_a_stock_save_over_a_renamed_activation_is_refused_here(tmp_path):
    model = tiny_bert()
    saved_then_stock(model, tmp_path, "relu")
    with pytest.raises(DataError, match=r"hidden_act is 'gelu'; the saved one said 'relu'") as caught:
        load_patched(tmp_path)
    assert "delete gelu_patch.json" in str(caught.value)


def test_a_stock_save_over_the_same_mathematics_is_still_right(tmp_path):
    model = tiny_bert()
    saved_then_stock(model, tmp_path, "gelu_fused")
    assert torch.allclose(logits(load_patched(tmp_path)[0].eval()), logits(model), atol=1e-6)


def test_hidden_weights_beside_older_plain_ones_still_fail_loudly(tmp_path):
    from transformers import AutoModelForMaskedLM

    model = tiny_bert()
    model.save_pretrained(tmp_path)
    patch_model(model, "relu", PARTIAL)
    model.save_pretrained(tmp_path)
    with pytest.raises(OSError, match="load_patched"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(logits(load_patched(tmp_path)[0].eval()), logits(model))


# The Hub.


# Other classes that have save_pretrained.


class Foreign(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def save_pretrained(self, save_directory):
        torch.save(self.state_dict(), f"{save_directory}/weights.pt")


class Wrapper(Foreign):
    def save_pretrained(self, save_directory):
        self.inner.save_pretrained(save_directory)


def test_a_class_that_cannot_say_it_refuses(tmp_path):
    from tests.zoo import Mlp

    model = Foreign(Mlp(torch.nn.GELU()))
    with patch_model(model, "gelu_fused"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / "weights.pt").is_file()
    patch_model(model, "relu")
    with pytest.raises(UnsupportedModel, match="cannot be saved with changed mathematics") as caught:
        model.save_pretrained(tmp_path)
    assert "apply_plan" in str(caught.value)


def test_a_wrapper_leaves_it_to_the_model_inside(tmp_path):
    model = Wrapper(tiny_bert())
    patch_model(model, "relu", PARTIAL)
    model.save_pretrained(tmp_path)
    assert load_sidecar(tmp_path).hidden
    assert len(load_patched(tmp_path)[1]) == 2


def test_a_distributed_checkpoint_with_hidden_weights_is_refused(tmp_path):
    model = tiny_bert()
    patch_model(model, "relu", PARTIAL)
    with pytest.raises(UnsupportedModel, match="distributed checkpoint"):
        model.save_pretrained(tmp_path, distributed_checkpoint=True)
    assert not list(tmp_path.iterdir())


def test_a_config_that_hides_its_weights_is_the_stock_one_with_one_more_key(tmp_path):
    from gelu_patch.patching.config_names import NO_SUCH_WEIGHTS, WEIGHTS_KEY

    model = tiny_bert()
    model.save_pretrained(tmp_path / "stock")
    patch_model(model, "relu", PARTIAL)
    model.save_pretrained(tmp_path / "hidden")
    text = (tmp_path / "hidden" / "config.json").read_text()
    assert json.loads(text) == config_of(tmp_path / "stock") | {WEIGHTS_KEY: NO_SUCH_WEIGHTS}
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n", "as Transformers writes it"
