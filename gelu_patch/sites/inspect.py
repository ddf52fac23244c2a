"""The census: every activation of a model, what it computes, and, with inputs, what really ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from gelu_patch.sites.base import Site
from gelu_patch.sites.find import find_sites
from gelu_patch.sites.table import as_text, collapse, plain_table
from gelu_patch.sites.trace import InlineCall, trace


@dataclass(frozen=True)
class Census:
    """What ``inspect_model`` found.

    ``sites`` are the GELU sites. ``others`` counts the activations that are no GELU by name. ``unrecognised``
    are callables named like an activation that match nothing, with the reason. ``inline`` are the GELU calls
    written inside a forward that a run met (None when no run was asked for); ``executions`` maps site names
    to how often they ran, or is None.
    """

    model: str
    sites: tuple[Site, ...]
    others: Mapping[str, int]
    unrecognised: Mapping[str, str]
    executions: Mapping[str, int] | None = None
    inline: Mapping[InlineCall, int] | None = None

    @property
    def traced(self) -> bool:
        """Whether a run on example inputs stands behind the census."""
        return self.executions is not None

    @property
    def n_missed(self) -> int | None:
        """How many GELU calls of the run no site covers, or None without a run."""
        return None if self.inline is None else len(self.inline)

    def __len__(self) -> int:
        return len(self.sites)

    def __str__(self) -> str:
        return as_text(self)

    def __rich__(self) -> Any:
        from rich.console import Group

        return Group(*self._parts())

    def _parts(self) -> Iterator[Any]:
        table = plain_table("site", "activation", "implementation", "owners", *(["runs"] if self.traced else []))
        for pattern, sites in collapse(self.sites):
            row = [pattern, sites[0].activation, sites[0].implementation, _owners(sites)]
            if self.executions is not None:
                row.append(_numbers(self.executions[site.name] for site in sites))
            table.add_row(*row)
        if self.sites:
            yield table
        for call, count in (self.inline or {}).items():
            yield (
                f"found, not patched: inline call at {call.location} "
                f"({call.activation}, in {call.function}, run by {call.owner}, {count}x)"
            )
        for name, reason in self.unrecognised.items():
            yield f"left alone: {name}: {reason}"
        yield self.summary

    @property
    def summary(self) -> str:
        """One line: how many sites, how many calls that no site covers, and what else the model has."""
        if not self.sites and not self.inline:
            kinds = ", ".join(f"{name} x{count}" for name, count in self.others.items())
            return f"no GELU in {self.model}; its activations are: {kinds or 'none found'}"
        proof = (
            f"{_count(self.n_missed, 'inline call')} found in a run"
            if self.n_missed is not None
            else "inline calls unknown: no example inputs were given"
        )
        return f"{self.model}: {_count(len(self.sites), 'GELU site')}, {proof}"

    def to_dict(self) -> dict[str, Any]:
        """Return the census as plain data for JSON."""
        return {
            "model": self.model,
            "traced": self.traced,
            "sites": [
                {
                    "site": site.name,
                    "owners": list(site.names),
                    "form": site.form,
                    "activation": site.activation,
                    "implementation": site.implementation,
                    "executions": None if self.executions is None else self.executions[site.name],
                    "obstacle": site.obstacle,
                }
                for site in self.sites
            ],
            "inline": [
                {
                    "activation": call.activation,
                    "location": call.location,
                    "function": call.function,
                    "owner": call.owner,
                    "executions": count,
                }
                for call, count in (self.inline or {}).items()
            ],
            "other_activations": dict(self.others),
            "unrecognised": dict(self.unrecognised),
        }


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _owners(sites: list[Site]) -> str:
    return _numbers(len(site.owners) for site in sites)


def _numbers(values: Iterable[int]) -> str:
    """The value when all agree, otherwise the range."""
    distinct = sorted(set(values))
    return str(distinct[0]) if len(distinct) == 1 else f"{distinct[0]}-{distinct[-1]}"


def inspect_model(model: nn.Module, example_inputs: object = None) -> Census:
    """Return the census of ``model``; with ``example_inputs`` also run it once and report what executed.

    ``example_inputs``: a mapping is passed as keyword arguments, a tuple or list as positional ones, a tensor
    as the single argument. Without them no parameter is read, so a model on the meta device is fine; the
    census then cannot see GELUs that are code in a forward, and says so.
    Raises UnsupportedModel when ``model`` is no ``nn.Module`` or does not run on the inputs.
    """
    found = find_sites(model)
    sites = tuple(site for site in found if site.is_gelu)
    executions = inline = None
    if example_inputs is not None:
        run = trace(model, sites, example_inputs)
        executions, inline = run.executions, run.inline
    rest = [site for site in found if not site.is_gelu]
    return Census(
        model=type(model).__name__,
        sites=sites,
        others=Counter(site.activation or site.implementation for site in rest if site.recognition.how),
        unrecognised={
            site.name: f"{site.implementation}: {site.recognition.reason}" for site in rest if not site.recognition.how
        },
        executions=executions,
        inline=inline,
    )
