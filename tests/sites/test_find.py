"""Every way of holding an activation is found once, with all its owners."""

import pytest
import torch
from torch import nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.sites import find_sites
from tests.zoo import WIDTH, ZOO, HandWrittenGelu, Mlp, Stack, shared_parent, tiny_bert, tiny_gpt2


@pytest.mark.parametrize("name", ZOO)
def test_sites_and_owners(name):
    awkward = ZOO[name]
    sites = [site for site in find_sites(awkward.build()) if site.is_gelu]
    assert len(sites) == awkward.sites
    assert sum(len(site.owners) for site in sites) == awkward.owners


def test_a_shared_parent_has_all_its_names():
    (site,) = find_sites(shared_parent())
    assert site.names == ("layers.0.act", "layers.1.act")


def test_the_function_inside_a_gelu_module_is_not_a_second_site():
    from transformers.activations import GELUActivation, GELUTanh

    model = Stack(Mlp(GELUActivation()), Mlp(GELUTanh()))
    assert [site.name for site in find_sites(model)] == ["layers.0.act", "layers.1.act"]


def test_transformers_models():
    assert [site.activation for site in find_sites(tiny_bert())] == ["gelu"] * 4
    assert [site.activation for site in find_sites(tiny_gpt2())] == ["gelu_tanh"] * 2


def test_a_class_kept_in_an_attribute_is_no_site():
    model = Mlp(nn.GELU())
    model.act_class = nn.GELU
    assert len(find_sites(model)) == 1


def test_strangers_without_an_activation_name_are_never_run():
    class Bomb(nn.Module):
        def forward(self, x):
            raise AssertionError("was run")

    model = Mlp(nn.GELU())
    model.router = Bomb()
    model.callback = Bomb().forward
    assert len(find_sites(model)) == 1


def test_a_stranger_that_is_no_activation_is_reported_with_the_reason():
    class ActScale(nn.Module):
        def forward(self, x):
            return 2 * x

    (site,) = find_sites(Mlp(ActScale()))
    assert site.activation is None
    assert not site.is_gelu
    assert "no registered activation" in site.recognition.reason


def test_a_replaced_forward_is_an_obstacle():
    act = nn.GELU()
    act.forward = lambda x: x
    (site,) = find_sites(Mlp(act))
    assert site.is_gelu
    assert "accelerate" in site.obstacle


def test_nothing_is_read_from_parameters():
    with torch.device("meta"):
        model = Mlp(HandWrittenGelu())
    assert [site.activation for site in find_sites(model)] == ["gelu"]


@pytest.mark.parametrize("thing", ["bert-base-uncased", None, nn.GELU, 3])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(UnsupportedModel, match=r"not a torch\.nn\.Module"):
        find_sites(thing)


def test_a_scripted_model_is_refused_with_the_way_out():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU()))
    with pytest.raises(UnsupportedModel, match="patch the model first"):
        find_sites(scripted)
