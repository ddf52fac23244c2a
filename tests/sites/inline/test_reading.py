"""What is found in the code of a class, under which names, and what is left alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gelu_patch.errors import UnsupportedModel
from gelu_patch.sites import find_sites
from gelu_patch.sites.inline.reading import expressions_of, find_expression
from tests import zoo_inline as zoo
from tests.zoo import Stack


def sites(model):
    return {site.name: site.activation for site in find_sites(model) if site.is_gelu}


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (zoo.Inline(), {"forward.gelu": "gelu"}),
        (zoo.Flavoured(), {"forward.gelu.0": "gelu_tanh", "forward.gelu.1": "gelu"}),
        (zoo.HandWrittenFunction(), {"forward.gelu": "gelu"}),
        (zoo.GlobalModule(), {"forward.global_gelu": "gelu", "forward.quick_gelu": "gelu_quick"}),
        (zoo.LookUp("gelu_new"), {"forward.ACT2FN": "gelu_tanh"}),
        (zoo.LookUp("gelu"), {"forward.ACT2FN": "gelu"}),
        (zoo.LookUp("relu"), {}),
        (zoo.LookUp("no such key"), {}),
        (zoo.BuiltInForward(), {"forward.GELU": "gelu_tanh"}),
        (zoo.Formula(), {"forward.formula": "gelu_quick"}),
        (zoo.Formula(alpha=1.0), {}),
        (zoo.TanhFormula(), {"forward.formula": "gelu_tanh"}),
        (zoo.Decorated(), {"forward.gelu": "gelu"}),
        (zoo.Derived(), {"forward.gelu": "gelu"}),
        (zoo.CallsSuper(), {"Inline.forward.gelu": "gelu"}),
        (zoo.OwnSuper(), {"forward.gelu": "gelu"}),
        (zoo.TwoMethods(), {"gate.gelu": "gelu", "unused.gelu": "gelu", "forward.gelu": "gelu"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_names_and_activations(model, found):
    assert sites(model) == found


def test_names_start_with_the_path_of_the_module():
    model = Stack(zoo.Inline(), zoo.Flavoured())
    assert list(sites(model)) == ["layers.0.forward.gelu", "layers.1.forward.gelu.0", "layers.1.forward.gelu.1"]


def test_the_implementation_says_code_and_place():
    (site,) = find_sites(zoo.Formula())
    line = zoo.Formula.forward.__code__.co_firstlineno + 2
    assert site.implementation == f"gate * torch.sigmoid(gate * self.alpha) at zoo_inline.py:{line}"
    assert site.form == "inline"


class Overrides(zoo.Inline):
    """The forward of the base class is never run."""

    def forward(self, x):
        return self.up(x)


class NotGelu(zoo.Up):
    """The ops that GELU is made of, and functions that look like it."""

    def forward(self, x):
        gelu = torch.relu  # a local variable
        y = gelu(x) + torch.sigmoid(x) * x + torch.tanh(x) + F.relu(x) + x * torch.sigmoid(2 * x)
        z = torch.erf(x) * self.up(x) + 0.5 * x * (1 + torch.erf(y))  # two variables
        return z + self.counted(x) * torch.sigmoid(1.702 * self.counted(x))

    def counted(self, x):
        raise AssertionError("finding sites ran code of the model")


class ReadsTensors(zoo.Up):
    """A gate whose scale is a parameter: DeepSeek V4's, and one that would be a GELU if it were a number."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.702))

    def forward(self, x):
        return torch.sigmoid(x * self.scale.float()) * 1.0 + x * torch.sigmoid(self.scale * x)


class Variable(zoo.Up):
    """The flavour, or the key, is known at run time only."""

    def forward(self, x, approximate="none", key="gelu"):
        from transformers.activations import ACT2FN

        return F.gelu(x, approximate=approximate) + ACT2FN[key](x)


@pytest.mark.parametrize("kind", [Overrides, NotGelu, ReadsTensors, Variable])
def test_what_is_no_site(kind):
    assert sites(kind()) == {}


def defined_without_source():
    names = {"nn": nn, "F": F, "zoo": zoo}
    exec("class Unreadable(zoo.Up):\n def forward(self, x):\n  return F.gelu(F.gelu(self.gelu(x)))", names)
    return names["Unreadable"]()


def test_without_source_it_is_found_and_cannot_be_replaced():
    (site,) = find_sites(defined_without_source())
    assert (site.name, site.activation) == ("forward.gelu", "gelu")
    assert "source cannot be read" in site.obstacle


def test_source_that_was_edited_meanwhile_is_not_trusted(tmp_path):
    file = tmp_path / "remote.py"
    text = "import torch.nn.functional as F\nfrom tests.zoo_inline import Up\n"
    text += "class Remote(Up):\n    def forward(self, x):\n"
    file.write_text(text + "        return F.gelu(x)\n")
    names = {"__name__": "remote"}
    exec(compile(file.read_text(), file, "exec"), names)
    file.write_text(text + "        return F.gelu(x) + 1\n")
    (site,) = find_sites(names["Remote"]())
    assert "not what it was compiled from" in site.obstacle


def test_a_class_is_read_once():
    assert expressions_of(zoo.Inline) is expressions_of(zoo.Inline)
    assert find_expression(zoo.Inline, "forward.gelu") is expressions_of(zoo.Inline)[0]


def test_an_expression_of_another_version_of_the_code_is_an_error():
    with pytest.raises(UnsupportedModel, match=r"Inline has no GELU expression 'forward.gelu.7'"):
        find_expression(zoo.Inline, "forward.gelu.7")


def test_a_look_up_follows_the_config():
    model = zoo.LookUp("relu")
    assert sites(model) == {}
    model.config.hidden_act = "gelu"
    assert sites(model) == {"forward.ACT2FN": "gelu"}
