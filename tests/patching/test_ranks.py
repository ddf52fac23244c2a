"""`check_ranks` in one process; tests/traps/ranks_job.py runs it in two."""

from __future__ import annotations

import pytest
import torch.distributed as dist

import gelu_patch
from gelu_patch.errors import PatchConflict
from gelu_patch.patching import check_ranks, patch_model, plan_patch, ranks
from tests.zoo import ZOO


def test_quiet_without_a_process_group():
    assert not dist.is_initialized()
    model = ZOO["submodule"].build()
    gelu_patch.check_ranks(model)
    patch_model(model, "relu")
    gelu_patch.check_ranks(model)


def test_names_the_ranks_and_the_first_site_that_differs(monkeypatch):
    """The other rank is played: it answers with what it would send."""
    mine, other = ZOO["function in an attribute"].build(), ZOO["function in an attribute"].build()
    patch_model(mine, "relu")
    patch_model(other, "relu", where="layers.0.*")
    sent = []
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(ranks, "_gather", lambda value: sent.append(value) or [value])
    check_ranks(other)
    with monkeypatch.context() as patched:
        patched.setattr(ranks, "_gather", lambda value: [value, sent[0] if isinstance(value, str) else {}])
        with pytest.raises(PatchConflict, match="2 of 2 patched sites") as refusal:
            check_ranks(mine)
    assert refusal.value.where == "layers.0.act"
    assert "rank 0: gelu -> relu by eager" in refusal.value.why
    assert "rank 1: not patched" in refusal.value.why
    assert "on every rank" in refusal.value.next_step


def test_the_digest_of_a_plan_is_about_mathematics():
    model, same = ZOO["sequential"].build(), ZOO["sequential"].build()
    plan = plan_patch(model, "relu")
    assert plan.digest == plan_patch(same, {"*": "relu"}).digest
    assert plan.digest == plan.model_copy(update={"gelu_patch": "0.0.0"}).digest
    assert plan.digest != plan_patch(model, "gelu_tanh").digest
    assert len(plan.digest) == 64
    patch_model(same, "gelu_tanh")
    assert plan.digest != plan_patch(same, "relu").digest, "before counts, too"


def test_every_rank_hears_all(monkeypatch):
    """`_gather` with a process group of three that is played: the answer has one entry for each rank."""
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)

    def play(everyone, mine):
        assert everyone == [None, None, None]
        everyone[:] = ["zero", mine, "two"]

    monkeypatch.setattr(dist, "all_gather_object", play)
    assert ranks._gather("one") == ["zero", "one", "two"]


def test_without_distributed_pytorch_there_is_nothing_to_compare(monkeypatch):
    monkeypatch.setattr(dist, "is_available", lambda: False)
    monkeypatch.setattr(dist, "is_initialized", lambda: pytest.fail("it does not exist there"))
    check_ranks(ZOO["submodule"].build())


@pytest.mark.parametrize("differ", ["activation", "owners", "nothing"])
def test_what_counts_as_a_difference(monkeypatch, differ):
    model, other = ZOO["shared instance"].build(), ZOO["shared instance"].build()
    patch_model(model, "relu")
    patch_model(other, "silu" if differ == "activation" else "relu")
    if differ == "owners":
        other.layers[1].act = model.layers[0].up
    sent = []
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(ranks, "_gather", lambda value: sent.append(value) or [value])
    check_ranks(other)
    theirs = sent[0]
    monkeypatch.setattr(ranks, "_gather", lambda value: [value, theirs if isinstance(value, str) else {}])
    if differ == "nothing":
        check_ranks(model)
    else:
        with pytest.raises(PatchConflict, match="the ranks are patched differently at 1 of 1 patched sites"):
            check_ranks(model)
