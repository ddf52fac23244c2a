"""What every registered thing must do: activations, site finders, tasks, metrics."""

import importlib
import pkgutil

import numpy as np
import pytest
import torch

import gelu_patch
from gelu_patch.activations import activations
from gelu_patch.activations.fingerprint import fingerprint
from gelu_patch.kernels import Request, select
from gelu_patch.sites import find_sites
from gelu_patch.sites.finders import finders
from gelu_patch.tasks import LabelMap, tasks
from tests.tasks.tiny import save_tiny, tiny_documents, tiny_examples
from tests.zoo import ZOO


@pytest.mark.parametrize("name", activations.names())
def test_an_activation_can_be_run_told_apart_and_traced_to_its_source(name):
    activation = activations.get(name)
    kernel = select(Request(name, "cpu", torch.float32)).kernel
    assert fingerprint(kernel.function(name))[0] == activation.values
    assert activation.summary
    assert activation.source
    x = np.array([[-1.0, 2.0], [0.5, -3.0]])
    assert activation.formula(x).shape == activation.derivative(x).shape == x.shape
    assert activation.formula(x).dtype == np.float64


@pytest.mark.parametrize("name", finders.names())
def test_a_finder_finds_what_no_other_finds(name):
    """Without it, a model of the zoo loses sites; so none is there for nothing."""
    with_all = {key: len(find_sites(awkward.build())) for key, awkward in ZOO.items()}
    finder = finders.get(name)
    order = dict(finders._items)
    finders.unregister(name)
    try:
        without = {key: len(find_sites(awkward.build())) for key, awkward in ZOO.items()}
    finally:
        finders._items.clear()
        finders._items.update(order)
    assert any(without[key] < with_all[key] for key in ZOO), finder


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_loads_encodes_learns_and_predicts(name, tmp_path):
    task = tasks.get(name)
    examples = tiny_examples() if task.labelled else tiny_documents()
    loaded = task.load(save_tiny(tmp_path, name), train=examples)
    assert isinstance(loaded.labels, LabelMap) is task.labelled
    data = task.encode(examples, labels=loaded.labels, tokenizer=loaded.tokenizer, max_length=16)
    loss = task.loss(loaded.model, data.batch([0, 1, 2]))
    loss.backward()
    assert loss.ndim == 0
    assert all(
        torch.isfinite(parameter.grad).all() for parameter in loaded.model.parameters() if parameter.grad is not None
    )
    predictions = task.predict(loaded.model, data)
    assert predictions.ids == list(examples.ids)


def test_every_module_can_be_imported_alone():
    for module in pkgutil.walk_packages(gelu_patch.__path__, "gelu_patch."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def test_public_names_exist_and_are_documented():
    for name in gelu_patch.__all__:
        assert getattr(gelu_patch, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gelu_patch.nonsense
