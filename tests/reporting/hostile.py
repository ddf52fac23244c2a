"""Names and texts of somebody who means harm: HTML, SVG, scripts, Markdown, terminal control, rich markup."""

from __future__ import annotations

from typing import Any

from gelu_patch.reporting.schema import Comparison, Flip, Report
from tests.reporting import conftest

HOSTILE = (
    "<script>window.hacked=1;alert(1)</script>",
    "</script></style></title></pre></svg><img src=x onerror=window.hacked=1>",
    "\"'><svg/onload=window.hacked=1><image href=http://evil.example/x.png>",
    "--></textarea><iframe srcdoc='<script>parent.hacked=1</script>'>",
    "$x^{2$ & \\frac{a}{b} {{ 7*7 }} {% include 'x' %}",
    "![x](http://evil.example/x.png) [l](javascript:alert(1)) `code` *b* __b__ ~~s~~ www.evil.example",
    "a|b|c\n\n# heading\n- item\n</details><!-- gelu-patch: end -->",
    "[bold red]markup[/bold red] [link=http://evil.example]x[/link] :boom:",
    "\x1b]0;title\x07\x1b[31mred\x9b2J\u202egnihtemos\u2066 \ud800",
    "模型 🙂 " + "w" * 500,
)


def hostile_report() -> Report:
    """Return a full report in which every text is an attack."""
    runs = conftest.full_runs()
    report = conftest.report_of(runs)
    attacks = _Attacks()
    plain = attacks.into(report.model_dump(by_alias=True))
    found = Report.model_validate(plain)
    for comparison in found.comparisons:
        comparison.flips = [_flip(i, attacks) for i in range(50)]
    found.comparison = found.comparisons[0]
    return found


def hostile_comparison() -> Comparison:
    """Return the comparison of a hostile report with the most in it."""
    return hostile_report().comparisons[1]


def _flip(number: int, attacks: _Attacks) -> Flip:
    names = {field: attacks.next() for field in ("text", "label", "baseline", "candidate")}
    return Flip(id=attacks.next(), kl=1 / (number + 1), **names)


class _Attacks:
    """Puts an attack in the place of every text that is not one of a fixed set."""

    # Fields whose values the schema restricts, or that other fields refer to.
    KEPT = frozenset(
        {"kind", "verdict", "state", "schema_version", "source", "phase", "metric", "created", "shape", "unit"}
    )

    def __init__(self) -> None:
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return HOSTILE[self._count % len(HOSTILE)]

    def into(self, value: Any, field: str = "") -> Any:
        if field in self.KEPT:
            return value
        if isinstance(value, str):
            return self.next()
        if isinstance(value, dict):
            if field in {"packages", "env_vars", "files", "recipe"}:
                return {self.next() + str(i): self.next() for i in range(3)}
            return {key: self.into(each, key) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.into(each, field) for each in value]
        return value
