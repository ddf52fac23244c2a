"""The sidecar: damaged, edited, too new or somebody else's is refused, and the message says what to do."""

import json

import pytest

from gelu_patch.environment import package_version
from gelu_patch.errors import DataError, PatchConflict
from gelu_patch.patching import apply_sidecar, load_patched, load_sidecar, patch_model
from gelu_patch.patching.current import current_activations
from gelu_patch.patching.sidecar import SIDECAR, digest
from tests.zoo import logits, tiny_bert, tiny_gpt2


@pytest.fixture
def saved(tmp_path):
    model = tiny_bert()
    with patch_model(model, "gelu_fused"):
        model.save_pretrained(tmp_path)
    return tmp_path


def rewrite(directory, *, honest, **values):
    path = directory / SIDECAR
    content = json.loads(path.read_text()) | values
    if honest:
        content["digest"] = digest(content)
    path.write_text(json.dumps(content))


def refusal(directory):
    with pytest.raises(DataError, match=r"cannot use gelu_patch\.json") as caught:
        load_patched(directory)
    assert str(directory / SIDECAR) in str(caught.value)
    return str(caught.value)


def test_what_it_holds(saved):
    content = json.loads((saved / SIDECAR).read_text())
    assert content["version"] == 2
    assert content["model"] == "BertForMaskedLM"
    assert len(content["activations"]) == 4
    assert content["plan"]["changes"]
    assert content["versions"] == {name: package_version(name) for name in ("gelu-patch", "torch", "transformers")}
    assert len(content["digest"]) == 64
    assert content["digest"] == digest(content)
    assert not list(saved.glob(f".{SIDECAR}*")), "an unfinished file was left behind"


@pytest.mark.parametrize("text", ["", "{", '{"version": 2, "digest": "', "\x00\x01"])
def test_a_truncated_file(saved, text):
    (saved / SIDECAR).write_text(text)
    assert "it is no whole JSON file" in refusal(saved)


def test_every_truncation_is_noticed(saved):
    whole = (saved / SIDECAR).read_text().rstrip()
    for length in range(0, len(whole), 97):
        (saved / SIDECAR).write_text(whole[:length])
        refusal(saved)


def test_json_of_another_kind(saved):
    (saved / SIDECAR).write_text("[]")
    assert "it holds no JSON object" in refusal(saved)


def test_an_edited_file(saved):
    rewrite(saved, honest=False, hidden=True)
    text = refusal(saved)
    assert "does not match its digest: it was edited or damaged" in text
    assert "save the model again" in text


def test_a_key_that_was_added(saved):
    rewrite(saved, honest=False, note="mine")
    assert "digest" in refusal(saved)


def test_formatting_is_not_an_edit(saved):
    path = saved / SIDECAR
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7, sort_keys=True))
    assert load_sidecar(saved) is not None


def test_a_newer_version(saved):
    rewrite(saved, honest=True, version=3)
    text = refusal(saved)
    assert "it has version 3" in text
    assert text.endswith("next: pip install --upgrade gelu-patch"), text


@pytest.mark.parametrize("version", [None, "2", 0, 1])
def test_a_version_that_never_was(saved, version):
    rewrite(saved, honest=True, version=version)
    assert "which no gelu-patch wrote" in refusal(saved)


def test_a_wrong_field_is_named(saved):
    rewrite(saved, honest=True, activations=3)
    assert "activations:" in refusal(saved)


def test_the_sidecar_of_another_class(saved, tmp_path):
    model = tiny_gpt2()
    model.save_pretrained(tmp_path / "gpt2")
    (tmp_path / "gpt2" / SIDECAR).write_bytes((saved / SIDECAR).read_bytes())
    with pytest.raises(PatchConflict, match="belongs to another model") as caught:
        load_patched(tmp_path / "gpt2")
    assert "written for a BertForMaskedLM, and this is a GPT2LMHeadModel" in str(caught.value)
    assert "leave model_class out" in str(caught.value)


def test_another_class_of_the_same_checkpoint(saved):
    from transformers import BertModel

    with pytest.raises(PatchConflict, match="belongs to another model"):
        load_patched(saved, BertModel)


@pytest.mark.parametrize("layers", [2, 4])
def test_the_sidecar_of_another_size(saved, layers):
    sidecar = load_sidecar(saved)
    other = tiny_bert(layers=layers)
    before, now = logits(other), current_activations(other)
    with pytest.raises(PatchConflict, match=r"belongs to another model|does not fit this model"):
        apply_sidecar(other, sidecar)
    assert current_activations(other) == now
    assert (logits(other) == before).all()


def test_sites_that_only_other_versions_see_are_no_reason_to_refuse(saved):
    sidecar = load_sidecar(saved)
    older = sidecar.model_copy(update={"versions": {**sidecar.versions, "gelu-patch": "0.0.1"}})
    assert apply_sidecar(tiny_bert(layers=4), older)


def test_no_sidecar(tmp_path):
    assert load_sidecar(tmp_path) is None
    assert load_sidecar(tmp_path / "absent") is None


def test_a_sidecar_in_a_subfolder(saved):
    assert load_sidecar(saved.parent, subfolder=saved.name) == load_sidecar(saved)
    assert load_sidecar(saved, subfolder="elsewhere") is None
    assert load_sidecar(saved, subfolder="") == load_sidecar(saved)


def test_a_sidecar_on_the_hub_is_asked_for_quietly(saved, monkeypatch):
    """The Hub is played. Whether there is one is our question; that a model is missing is said by its weights."""
    from transformers.utils import hub

    asked = []

    def cached_file(repository, name, **options):
        asked.append((repository, name, options))
        return str(saved / SIDECAR)

    monkeypatch.setattr(hub, "cached_file", cached_file)
    assert load_sidecar("somebody/model", revision="v1", token="t") == load_sidecar(saved)
    ((repository, name, options),) = asked
    assert (repository, name, options.pop("revision"), options.pop("token")) == ("somebody/model", SIDECAR, "v1", "t")
    assert options == {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
        "_raise_exceptions_for_gated_repo": False,
    }
    monkeypatch.setattr(hub, "cached_file", lambda *_, **__: None)
    assert load_sidecar("somebody/model") is None
    for error in (OSError("no such repository"), ValueError("no such id")):
        monkeypatch.setattr(hub, "cached_file", lambda *_, error=error, **__: (_ for _ in ()).throw(error))
        assert load_sidecar("somebody/model") is None
    assert load_sidecar("/nowhere/at/all") is None, "an absolute path is no Hub id"
