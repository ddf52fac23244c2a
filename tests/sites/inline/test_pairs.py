"""Where a Linear's output reaches an activation and nothing else: found when certain, left alone when not."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gelu_patch.sites.inline.pairs import FRESH, find_pair, pairs_of, times
from gelu_patch.sites.inline.rewriting import rewritten_class


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.gate, self.down = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 4)
        self.act = nn.GELU()
        self.flag = True


class Rebound(Base):
    def forward(self, x):
        x = self.up(x)
        x = self.act(x)
        return self.down(x)


class Nested(Base):
    def forward(self, x):
        return self.down(self.act(self.up(x)))


class Inline(Base):
    def forward(self, x):
        x = self.up(x)
        return self.down(F.gelu(x, approximate="tanh"))


class Returned(Base):
    def forward(self, x):
        h = self.up(x)
        return self.act(h)


class Gated(Base):
    def forward(self, x):
        return self.down(self.act(self.gate(x)) * self.up(x))


class GatedInSteps(Base):
    def forward(self, x):
        gate = self.act(self.gate(x))
        up = self.up(x)
        return self.down(gate * up)


class OverLines(Base):
    def forward(self, x):
        x = self.act(
            self.up(x)
        )  # fmt: skip
        return self.down(x)


class GateUsedTwice(Base):
    def forward(self, x):
        gate = self.act(self.gate(x))
        return self.down(gate * self.up(x)) + gate.mean()


class GateInBrackets(Base):
    def forward(self, x):
        return self.down((self.act(self.gate(x))) * self.up(x))


FOUND = {
    Rebound: [("forward.up.act", False)],
    Nested: [("forward.up.act", False)],
    Inline: [("forward.up.gelu", False)],
    Returned: [("forward.up.act", False)],
    Gated: [("forward.gate.act", True)],
    GatedInSteps: [("forward.gate.act", True)],
    OverLines: [("forward.up.act", False)],
    GateUsedTwice: [("forward.gate.act", False)],
    GateInBrackets: [("forward.gate.act", False)],
}


class Residual(Base):
    def forward(self, x):
        h = self.up(x)
        y = self.act(h)
        return y + h


class SeenLater(Base):
    def forward(self, x):
        x = self.up(x)
        y = self.act(x)
        self.last = x
        return y


class SometimesActivated(Base):
    def forward(self, x):
        x = self.up(x)
        x = self.act(x) if self.flag else -1.0
        return x * 2


class MayBeSkipped(Base):
    def forward(self, x):
        x = self.up(x)
        x = self.flag and self.act(x)
        return x * 2


class Captured(Base):
    def forward(self, x):
        h = self.up(x)
        later = lambda: h  # noqa: E731
        h = self.act(h)
        return h + later()


class SomethingBetween(Base):
    def forward(self, x):
        x = self.up(x)
        x = x + 1
        return self.act(x)


class SeenInFinally(Base):
    def forward(self, x):
        h = x
        try:
            h = self.up(x)
            return self.act(h)
        finally:
            self.last = h


class InAComprehension(Base):
    def forward(self, x):
        return [self.act(self.up(row)) for row in x]


class TwoArguments(Base):
    def forward(self, x):
        return self.act(self.up(x), True)


NOT_FOUND = [
    Residual, SeenLater, SometimesActivated, MayBeSkipped, Captured, SomethingBetween, SeenInFinally, InAComprehension,
    TwoArguments,
]  # fmt: skip


@pytest.mark.parametrize("kind", FOUND, ids=lambda kind: kind.__name__)
def test_found(kind):
    assert [(pair.key, pair.product is not None) for pair in pairs_of(kind)] == FOUND[kind]


@pytest.mark.parametrize("kind", NOT_FOUND, ids=lambda kind: kind.__name__)
def test_left_alone(kind):
    assert pairs_of(kind) == ()


class InSteps(Base):
    def forward(self, x):
        h = self.act(self.up(x))
        return self.down(h)


class TakenInATry(Base):
    def forward(self, x):
        try:
            x = self.up(x)
            x = self.act(x)
            x = self.down(x)
        except RuntimeError:
            self.last = x
        return x


class DropoutBetween(Base):
    def forward(self, x):
        x = self.act(self.up(x))
        return self.down(F.dropout(x, 0.1))


class SeenByTwo(Base):
    def forward(self, x):
        x = self.act(self.up(x))
        return self.down(x) + x.mean()


class TwoInARow(Base):
    """The second Linear begins a pair of its own, and cannot end the first."""

    def forward(self, x):
        x = self.act(self.gate(x))
        x = self.act(self.up(x[..., :4]))
        return self.down(x)


class Chained(Base):
    def forward(self, x):
        return self.down(self.act(self.up(self.act(self.gate(x)))))


class WithAnArgument(Base):
    def forward(self, x):
        return self.down(self.act(self.up(x)), True)


DOWN = {
    Rebound: ["down"], Nested: ["down"], Inline: ["down"], OverLines: ["down"], InSteps: ["down"],
    Returned: [None], Gated: [None], GatedInSteps: [None], GateUsedTwice: [None], TakenInATry: [None],
    DropoutBetween: [None], SeenByTwo: [None], TwoInARow: [None, "down"], Chained: ["down", None],
    WithAnArgument: [None],
}  # fmt: skip


@pytest.mark.parametrize("kind", DOWN, ids=lambda kind: kind.__name__)
def test_the_linear_that_alone_takes_the_activation(kind):
    assert [pair.down for pair in pairs_of(kind)] == DOWN[kind]


class Recording:
    """In the place of a block: notes that it was called and computes what the two modules do."""

    def __init__(self, module, name, activation):
        self.module, self.name, self.activation, self.calls, self.taken = module, name, activation, 0, 0

    def __call__(self, x):
        self.calls += 1
        return self.activation(getattr(self.module, self.name)(x))

    def done(self, out):
        return out

    def then(self, out):
        self.taken += 1
        return self.module.down(out)


@pytest.mark.parametrize("kind", [*FOUND, InSteps], ids=lambda kind: kind.__name__)
def test_the_rewritten_method_calls_what_is_given_and_nothing_twice(kind):
    module, x = kind(), torch.randn(3, 4)
    expected = module(x)
    (pair,) = pairs_of(kind)
    module.__class__ = rewritten_class(kind)
    assert torch.equal(module(x), expected)  # nothing is given yet
    activation = module.act if isinstance(pair.activation, str) else (lambda x: F.gelu(x, approximate="tanh"))
    given = Recording(module, pair.linear, activation)
    vars(module)[pair.attribute] = given
    assert torch.equal(module(x), expected)
    assert given.calls == 1
    assert given.taken == (pair.down is not None)


def test_a_pair_is_found_again_by_its_name():
    (pair,) = pairs_of(Nested)
    assert find_pair(Nested, pair.key) is pair
    assert find_pair(Nested, "forward.other.act") is None


def test_a_product_overwrites_only_what_is_fresh():
    gate, other = torch.randn(3), torch.randn(3)
    product = gate * other
    assert times(gate, other) is not gate
    setattr(gate, FRESH, True)
    assert times(gate, other) is gate
    assert torch.equal(gate, product)
    assert not hasattr(gate, FRESH)


@pytest.mark.parametrize(
    "other",
    [torch.randn(2, 3), torch.randn(3, dtype=torch.float64), 2.0, torch.randn(3, requires_grad=True)],
    ids=["broadcast", "dtype", "number", "gradient"],
)
def test_a_product_of_another_kind_is_a_new_tensor(other):
    gate = torch.randn(3)
    setattr(gate, FRESH, True)
    before = gate.clone()
    assert torch.equal(times(gate, other), before * other)
    assert torch.equal(gate, before)
