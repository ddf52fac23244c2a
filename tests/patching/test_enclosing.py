"""A module does not know its parents; they are found all the same."""

from gelu_patch.patching.enclosing import modules_around
from tests.zoo import Mlp, Stack, shared_parent, tiny_bert


def test_every_level_is_found_and_nothing_else():
    model, _other = tiny_bert(), tiny_bert()
    layer = model.bert.encoder.layer[0]
    around = modules_around(layer)
    expected = [model, model.bert, model.bert.encoder, model.bert.encoder.layer]
    assert {id(module) for module in around} == {id(module) for module in expected}
    assert modules_around(model) == []


def test_a_part_of_two_models_has_both():
    part = Mlp(None)
    first, second = Stack(part), Stack(part, Mlp(None))
    assert {id(first), id(second)} <= {id(module) for module in modules_around(part)}


def test_a_holder_is_found_once():
    model = shared_parent()
    assert len(modules_around(model.layers[0])) == 2
