"""The census: every activation of a model, what it computes, and, with inputs, what really ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from gelu_patch.sites.base import Site
from gelu_patch.sites.find import find_sites
from gelu_patch.sites.table import as_text, collapse, plain_table
from gelu_patch.sites.trace import UncoveredCall, trace


@dataclass(frozen=True)
class Census:
    """What ``inspect_model`` found.

    ``sites`` are the GELU sites. ``others`` counts the activations that are no GELU by name. ``unrecognised``
    are callables named like an activation that match nothing, with the reason. The rest comes from a run on
    example inputs: ``executions`` maps site names to how often they ran, ``uncovered`` the GELU calls that no
    site covers to their number (both are None without a run), ``blocks`` the sites that ran to what could be
    fused with them, or why nothing can.
    """

    model: str
    sites: tuple[Site, ...]
    others: Mapping[str, int]
    unrecognised: Mapping[str, str]
    executions: Mapping[str, int] | None = None
    uncovered: Mapping[UncoveredCall, int] | None = None
    blocks: Mapping[str, str] = field(default_factory=dict)

    @property
    def traced(self) -> bool:
        """Whether a run on example inputs stands behind the census."""
        return self.executions is not None

    @property
    def n_missed(self) -> int | None:
        """How many GELU calls of the run no site covers, or None without a run."""
        return None if self.uncovered is None else len(self.uncovered)

    def __len__(self) -> int:
        return len(self.sites)

    def __str__(self) -> str:
        return as_text(self)

    def __rich__(self) -> Any:
        from rich.console import Group

        return Group(*self._parts())

    def _parts(self) -> Iterator[Any]:
        columns = ["site", "activation", "implementation", "owners"]
        columns += ["runs", "Linear and GELU fusable"] if self.executions is not None else []
        rows = [tuple(self._row(pattern, sites)) for pattern, sites in collapse(self.sites, _what)]
        if rows:
            yield plain_table(columns, rows)
        for pattern, sites in collapse((site for site in self.sites if site.obstacle), lambda site: site.obstacle):
            yield f"cannot be patched: {pattern}: {sites[0].obstacle}"
        for call, count in (self.uncovered or {}).items():
            yield (
                f"not covered: a call at {call.location} "
                f"({call.activation}, in {call.function}, run by {call.owner}, {count}x)"
            )
        for name, reason in self.unrecognised.items():
            yield f"left alone: {name}: {reason}"
        yield self.summary

    def _row(self, pattern: str, sites: list[Site]) -> Iterator[object]:
        yield from (pattern, *_what(sites[0]), _owners(sites))
        if self.executions is not None:
            yield _numbers(self.executions[site.name] for site in sites)
            yield "; ".join(sorted({self.blocks[site.name] for site in sites if site.name in self.blocks}))

    @property
    def summary(self) -> str:
        """One line: how many sites, how many calls that no site covers, and what else the model has."""
        if not self.sites and not self.uncovered:
            kinds = ", ".join(f"{name} x{count}" for name, count in self.others.items())
            return f"no GELU in {self.model}; its activations are: {kinds or 'none found'}"
        sites = f"{self.model}: {_count(len(self.sites), 'GELU site')}"
        if self.executions is None or self.n_missed is None:
            return f"{sites}, read from the code; not proven by a run: no example inputs were given"
        ran = sum(1 for count in self.executions.values() if count)
        return f"{sites}, {ran} of them executed in a run; {_count(self.n_missed, 'executed GELU call')} not covered"

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
                    "block": self.blocks.get(site.name),
                    "obstacle": site.obstacle,
                }
                for site in self.sites
            ],
            "uncovered": [
                {
                    "activation": call.activation,
                    "location": call.location,
                    "function": call.function,
                    "owner": call.owner,
                    "executions": count,
                }
                for call, count in (self.uncovered or {}).items()
            ],
            "other_activations": dict(self.others),
            "unrecognised": dict(self.unrecognised),
        }


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _what(site: Site) -> tuple[str | None, str]:
    return site.activation, site.implementation


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
    census is then what reading the modules and the code of their methods gives, and says so.
    Raises UnsupportedModel when ``model`` is no ``nn.Module`` or does not run on the inputs.
    """
    found = find_sites(model)
    sites = tuple(site for site in found if site.is_gelu)
    run = None if example_inputs is None else trace(model, sites, example_inputs)
    rest = [site for site in found if not site.is_gelu]
    return Census(
        model=type(model).__name__,
        sites=sites,
        others=Counter(site.activation or site.implementation for site in rest if site.recognition.how),
        unrecognised={
            site.name: f"{site.implementation}: {site.recognition.reason}" for site in rest if not site.recognition.how
        },
        executions=run.executions if run else None,
        uncovered=run.uncovered if run else None,
        blocks=run.blocks if run else {},
    )
