"""Adapters carry the mathematics of the base that they were trained on."""

import copy
import json
import pickle
import warnings

import pytest
import torch

from gelu_patch.errors import DataError, MathematicsWarning, UnsupportedModel
from gelu_patch.patching import apply_plan, load_patched, load_sidecar, patch_model, save_patched, unpatch_model
from gelu_patch.patching.adapters import (
    ADAPTER_CONFIG,
    KEY,
    adapter_base,
    check,
    describe_saved,
    holds_adapters,
    is_peft_model,
)  # fmt: skip
from gelu_patch.patching.sidecar import SIDECAR
from tests.zoo import logits, tiny_bert

peft = pytest.importorskip("peft")

# PEFT asks a Transformers model for an old name, and the Hub for the config of a base that has none.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]


def lora(**options):
    return peft.LoraConfig(r=2, target_modules=["query", "dense"], init_lora_weights=False, **options)


def base(target=None, where=None):
    torch.manual_seed(0)
    model = tiny_bert()
    if target:
        patch_model(model, target, where)
    return model


def trained(directory, target, where=None):
    model = peft.get_peft_model(base(target, where), lora()).eval()
    model.save_pretrained(directory)
    return model


@pytest.mark.parametrize("where", [None, "layer.0.*"])
def test_a_base_that_was_patched_first(tmp_path, where):
    model = trained(tmp_path, "relu", where)
    sidecar = load_sidecar(tmp_path)
    assert (sidecar.kind, sidecar.model) == ("adapter", "BertForMaskedLM")
    assert sidecar.plan.changes[0].site == "bert.encoder.layer.0.intermediate.intermediate_act_fn"
    assert {path.name for path in tmp_path.iterdir()} >= {"adapter_model.safetensors", ADAPTER_CONFIG, SIDECAR}
    assert not (tmp_path / "config.json").exists()
    again = peft.PeftModel.from_pretrained(base("relu", where), tmp_path).eval()
    assert torch.equal(logits(again), logits(model))


def test_a_peft_model_that_is_patched(tmp_path):
    model = peft.get_peft_model(base(), lora()).eval()
    patch = patch_model(model, "relu")
    model.save_pretrained(tmp_path)
    sidecar = load_sidecar(tmp_path)
    assert sidecar.plan.changes[0].site.startswith("bert.encoder")
    fresh = base()
    apply_plan(fresh, sidecar.plan)
    assert torch.equal(logits(peft.PeftModel.from_pretrained(fresh, tmp_path).eval()), logits(model))
    patch.revert()
    assert "save_pretrained" not in vars(model)


def test_the_base_inside_a_peft_model_is_patched(tmp_path):
    model = peft.get_peft_model(base(), lora()).eval()
    patch = patch_model(model.get_base_model(), "relu")
    with pytest.raises(UnsupportedModel, match="PeftModel holds a part whose activations were swapped"):
        model.save_pretrained(tmp_path)
    save_patched(model, tmp_path)
    assert load_sidecar(tmp_path).plan.target == "relu"
    patch.revert()
    model.save_pretrained(tmp_path / "stock")
    assert load_sidecar(tmp_path / "stock") is None


def test_the_whole_peft_model_is_patched(tmp_path):
    model = peft.get_peft_model(base(), lora()).eval()
    patch = patch_model(model, "relu")
    model.save_pretrained(tmp_path)
    assert load_sidecar(tmp_path).plan.target == "relu"
    patch.revert()
    assert "save_pretrained" not in vars(model)


def test_loading_on_other_mathematics_warns_and_the_advice_works(tmp_path):
    model = trained(tmp_path, "relu")
    with pytest.warns(MathematicsWarning, match="trained on a BertForMaskedLM with other activations") as caught:
        peft.PeftModel.from_pretrained(base(), tmp_path)
    (warning,) = [each for each in caught if each.category is MathematicsWarning]
    text = str(warning.message)
    assert "4 of 4 sites differ" in text
    assert "trained with relu, here gelu" in text
    assert "gelu_patch" not in warning.filename
    advised = base()
    apply_plan(advised, load_sidecar(str(tmp_path)).plan)
    assert f"gelu_patch.apply_plan(base, gelu_patch.load_sidecar({str(tmp_path)!r}).plan)" in text
    assert torch.equal(logits(peft.PeftModel.from_pretrained(advised, tmp_path).eval()), logits(model))


def test_an_adapter_of_the_same_mathematics_warns_on_a_swapped_base(tmp_path):
    trained(tmp_path, "gelu_fused")
    assert KEY not in json.loads((tmp_path / ADAPTER_CONFIG).read_text())
    peft.PeftModel.from_pretrained(base(), tmp_path)
    with pytest.warns(MathematicsWarning, match="unpatch_model"):
        peft.PeftModel.from_pretrained(base("relu"), tmp_path)


def test_load_adapter_of_a_second_adapter_warns(tmp_path):
    trained(tmp_path / "relu", "relu")
    trained(tmp_path / "silu", "silu")
    model = peft.PeftModel.from_pretrained(base("relu"), tmp_path / "relu")
    with pytest.warns(MathematicsWarning, match="trained with silu, here relu"):
        model.load_adapter(tmp_path / "silu", adapter_name="second")


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_a_base_of_another_size_is_named(tmp_path):
    trained(tmp_path, "relu")
    other = tiny_bert(layers=2)
    patch_model(other, "relu")
    config = peft.PeftConfig.from_pretrained(tmp_path)
    model = peft.PeftModel(other, config)
    with pytest.warns(MathematicsWarning, match="here no such site"):
        model.load_adapter(tmp_path, "default")


def test_named_adapters_each_have_one(tmp_path):
    model = peft.get_peft_model(base("relu"), lora(), adapter_name="first")
    model.add_adapter("second", lora())
    model.save_pretrained(tmp_path)
    assert {path.parent.name for path in tmp_path.rglob(SIDECAR)} == {"first", "second"}
    model.save_pretrained(tmp_path / "one", selected_adapters=["second"])
    assert [path.parent.name for path in (tmp_path / "one").rglob(SIDECAR)] == ["second"]


def test_sites_inside_modules_to_save_keep_the_names_of_the_base(tmp_path):
    model = peft.get_peft_model(base("relu"), lora(modules_to_save=["cls"])).eval()
    model.save_pretrained(tmp_path)
    sidecar = load_sidecar(tmp_path)
    assert sorted(sidecar.activations) == sorted(change.site for change in sidecar.plan.changes)
    assert "cls.predictions.transform.transform_act_fn" in sidecar.activations
    assert all(change.owners == (change.site,) for change in sidecar.plan.changes), "PEFT's copy is the same place"
    text = (tmp_path / ADAPTER_CONFIG).read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n", "as PEFT writes it"
    fresh = base()
    apply_plan(fresh, sidecar.plan)
    again = peft.PeftModel.from_pretrained(fresh, tmp_path).eval()
    assert torch.equal(logits(again), logits(model))


def test_merged_adapters_are_a_checkpoint_again(tmp_path):
    from transformers import AutoModelForMaskedLM

    merged = trained(tmp_path / "adapter", "relu").merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path / "merged").eval()
    assert torch.allclose(logits(plain), logits(merged), atol=1e-6)


def test_adapters_of_transformers_itself(tmp_path):
    model = base("relu")
    model.add_adapter(lora())
    model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").is_file()
    assert load_sidecar(tmp_path).kind == "adapter"
    base("relu").load_adapter(str(tmp_path))
    with pytest.warns(MathematicsWarning, match="trained with relu, here silu"):
        base("silu").load_adapter(str(tmp_path))


def test_where_nothing_is_patched_peft_names_the_key(tmp_path):
    trained(tmp_path, "relu")
    warnings.resetwarnings()  # as in a process without patches
    with pytest.warns(UserWarning, match="base_model_needs_gelu_patch__see_gelu_patch.json"):
        config = peft.PeftConfig.from_pretrained(tmp_path)
    assert config.r == 2


def test_an_adapter_is_no_model(tmp_path):
    trained(tmp_path, "relu")
    with pytest.raises(UnsupportedModel, match="holds an adapter, not a model") as caught:
        load_patched(tmp_path)
    assert "PeftModel.from_pretrained" in str(caught.value)


def test_a_damaged_sidecar_of_an_adapter_is_refused(tmp_path):
    trained(tmp_path, "relu")
    (tmp_path / SIDECAR).write_text("{")
    with pytest.raises(DataError, match="cannot use"):
        peft.PeftModel.from_pretrained(base("relu"), tmp_path)


def test_an_adapter_of_a_stock_base_is_what_peft_writes(tmp_path):
    model = peft.get_peft_model(base(), lora())
    model.save_pretrained(tmp_path)
    assert not (tmp_path / SIDECAR).exists()
    peft.PeftModel.from_pretrained(base("relu"), tmp_path)


def test_a_stock_peft_model_pickles_without_this_package():
    model = peft.get_peft_model(base(), lora())
    assert b"gelu_patch" not in pickle.dumps(model)
    assert pickle.loads(pickle.dumps(model)).load_adapter.__self__ is not model


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_patched_peft_model_save_and_check_as_well(tmp_path, twin_of):
    trained(tmp_path / "silu", "silu")
    twin = twin_of(peft.get_peft_model(base("relu"), lora()))
    twin.save_pretrained(tmp_path / "twin")
    assert load_sidecar(tmp_path / "twin").plan.target == "relu"
    with pytest.warns(MathematicsWarning, match="here relu"):
        twin.load_adapter(tmp_path / "silu", adapter_name="second")
    assert unpatch_model(twin) == 4
    assert "save_pretrained" not in vars(twin)


def test_the_base_of_an_adapter_is_read_from_its_config(tmp_path):
    assert adapter_base(tmp_path) is None
    (tmp_path / ADAPTER_CONFIG).write_text('{"base_model_name_or_path": "somebody/bert"}')
    assert adapter_base(tmp_path) == "somebody/bert"


def test_only_the_main_process_and_only_beside_adapters(tmp_path):
    model = peft.get_peft_model(base("relu"), lora())
    describe_saved(model, {"save_directory": tmp_path})
    assert not list(tmp_path.rglob(SIDECAR)), "there is no adapter to describe"
    model.save_pretrained(tmp_path)
    (tmp_path / SIDECAR).unlink()
    describe_saved(model, {"save_directory": tmp_path, "is_main_process": False})
    assert not (tmp_path / SIDECAR).exists()
    describe_saved(model, {"save_directory": str(tmp_path)})
    assert load_sidecar(tmp_path).kind == "adapter"


def test_weights_that_come_from_memory_have_no_sidecar_to_check(recwarn):
    check(base("relu"), {"adapter_state_dict": {}})
    check(base("relu"), {"peft_model_id": None, "kwargs": {"peft_model_id": None}})
    assert not recwarn.list


def test_where_the_adapter_is_may_be_said_in_any_way(tmp_path):
    trained(tmp_path / "inside", "relu")
    model = base()
    for arguments in (
        {"model_id": tmp_path / "inside"},
        {"peft_model_id": str(tmp_path / "inside"), "revision": None},
        {"model_id": tmp_path, "subfolder": "inside"},
        {"model_id": tmp_path, "kwargs": {"subfolder": "inside"}},
    ):
        with pytest.warns(MathematicsWarning, match="4 of 4 sites differ"):
            check(model, arguments)


def test_a_model_of_transformers_without_adapters_holds_none():
    model = base()
    assert not holds_adapters(model)
    assert not is_peft_model(model)
    model._hf_peft_config_loaded = True
    assert holds_adapters(model)
    assert holds_adapters(peft.get_peft_model(base(), lora()))
