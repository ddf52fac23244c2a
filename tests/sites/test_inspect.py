"""The census as a person and as a program reads it."""

import json

from gelu_patch.sites import inspect_model
from gelu_patch.sites.table import collapse
from tests.zoo import tiny_bert, tiny_llama, tokens


def test_layers_share_a_row():
    text = str(inspect_model(tiny_bert(), tokens()))
    assert "bert.encoder.layer.[0-2].intermediate.intermediate_act_fn" in text
    assert "4 GELU sites, 4 of them executed in a run; 0 executed GELU calls not covered" in text


def test_a_model_without_gelu_says_what_it_has():
    census = inspect_model(tiny_llama(), tokens())
    assert len(census) == 0
    assert str(census) == "no GELU in LlamaForCausalLM; its activations are: silu x2"


def test_in_a_notebook_its_text_is_still_a_text_without_escapes(monkeypatch):
    plain = str(inspect_model(tiny_bert(), tokens()))
    assert "\033" not in plain
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as Jupyter does, and many a CI
    assert str(inspect_model(tiny_bert(), tokens())) == plain


def test_the_census_is_json():
    content = json.loads(json.dumps(inspect_model(tiny_bert(), tokens()).to_dict()))
    assert content["traced"] is True
    assert [site["executions"] for site in content["sites"]] == [1, 1, 1, 1]
    assert content["other_activations"] == {}


class Thing:
    def __init__(self, name):
        self.name = name


def patterns(*names):
    return [(pattern, len(group)) for pattern, group in collapse(Thing(name) for name in names)]


def test_collapse():
    assert patterns("a.0.act", "a.1.act", "a.2.act", "head") == [("a.[0-2].act", 3), ("head", 1)]
    assert patterns("a.0.act", "a.2.act", "a.3.act") == [("a.[0,2,3].act", 3)]
    assert patterns("0.b.1", "0.b.2", "1.b.1", "1.b.2") == [("[0-1].b.[1-2]", 4)]
    assert patterns("layer7.act") == [("layer7.act", 1)]


def test_a_row_says_what_is_true_of_all_its_sites():
    from torch import nn

    from tests.zoo import Mlp, Stack

    model = Stack(Mlp(nn.GELU()), Mlp(nn.GELU("tanh")), Mlp(nn.GELU()))
    rows = [line.split() for line in str(inspect_model(model)).splitlines()[3:5]]
    assert rows == [["layers.[0,2].act", "gelu", "GELU", "1"], ["layers.1.act", "gelu_tanh", "GELU", "1"]]
