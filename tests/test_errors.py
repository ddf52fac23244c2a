"""What, where, why and next; one root; exit codes; pickling."""

import pickle

import pytest

from gelu_patch import errors
from gelu_patch.errors import ExitCode, GeluPatchError, MissingExtra, UnknownName, UsageError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GeluPatchError)]


def test_the_message_has_its_parts_in_order_and_leaves_out_what_is_not_there():
    error = UsageError("it broke", where="here", why="because", next_step="do this")
    assert str(error) == "it broke\n  where: here\n  why: because\n  next: do this"
    assert str(UsageError("it broke")) == "it broke"


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_documented_exit_code_and_survives_pickling(kind):
    error = kind("what", where=1, why="why", next_step="next")
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is kind
    assert str(twin) == str(error)
    assert twin.exit_code in set(ExitCode) - {ExitCode.OK, ExitCode.DO_NOT_SHIP, ExitCode.INCONCLUSIVE}
    assert kind.__doc__


def test_near_names_and_extras():
    assert "did you mean 'relu'" in str(UnknownName.of("activation", "rleu", ["relu", "gelu_tanh"]))
    assert "did you mean" not in str(UnknownName.of("activation", "xyz", ["relu"]))
    assert 'pip install "gelu-patch[train]"' in str(MissingExtra.of("accelerate", "train", "fine-tuning"))
