"""One process alone is the first one, and does it all."""

from __future__ import annotations

from gelu_patch.training.processes import Processes


def test_one_process_is_the_first_and_does_it_all() -> None:
    alone = Processes.here()
    assert alone.is_first
    assert alone.first_only(lambda: 5) == 5
    assert alone.all_say("yes") == ["yes"]
