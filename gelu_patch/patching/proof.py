"""The proof of a patch by running the model: no GELU survives, and each replacement runs as often as it should."""

from __future__ import annotations

from torch import nn

from gelu_patch.errors import GeluSurvives
from gelu_patch.patching.plan import Plan
from gelu_patch.sites import Census, inspect_model


def prove(model: nn.Module, plan: Plan, before: Census, example_inputs: object) -> None:
    """Run the patched ``model`` and compare with the census ``before`` the patch, on the same inputs.

    Raises GeluSurvives when a GELU ran that the plan did not replace, unless the caller left it out himself,
    or when a replaced site ran more or less often than before.
    """
    after = inspect_model(model, example_inputs)
    survivors = [
        *(f"{call.activation} at {call.location}, run by {call.owner}" for call in after.uncovered or {}),
        *(f"{name}: {reason}" for name, reason in _obstructed(plan) if (after.executions or {}).get(name)),
    ]
    if survivors:
        raise GeluSurvives(
            f"{len(survivors)} executed GELU{'' if len(survivors) == 1 else 's'} of {plan.model} cannot be replaced",
            where="; ".join(survivors),
            why="the model would compute partly with one activation and partly with another",
            next_step="remove what is in the way, leave these sites out with where=, or patch without example_inputs",
        )
    _compare(plan, before, after)


def _obstructed(plan: Plan) -> list[tuple[str, str]]:
    return [(rejection.site, rejection.reason) for rejection in plan.rejected if not rejection.by_request]


def _compare(plan: Plan, before: Census, after: Census) -> None:
    ran, runs = before.executions or {}, after.executions or {}
    wrong = [
        f"{change.site} ran {ran.get(change.site)} times before and {runs.get(change.site)} times after"
        for change in plan.changes
        if ran.get(change.site) != runs.get(change.site)
    ]
    if wrong:
        raise GeluSurvives(
            f"{len(wrong)} replacements in {plan.model} do not run as the originals did",
            where="; ".join(wrong),
            why="something else decides what runs there: a hook, a wrapper, or branches that differ from run to run",
            next_step="see whether gelu_patch.inspect_model(model, example_inputs) gives the same counts twice",
        )
