"""What the page says about one comparison, as plain text: the template only arranges it."""

from __future__ import annotations

import shlex
from typing import Any

from gelu_patch.reporting import wording
from gelu_patch.reporting.rendering import tables
from gelu_patch.reporting.rendering.plots.fidelity import drift_plot, logits_plot
from gelu_patch.reporting.rendering.plots.heat import heat_plot
from gelu_patch.reporting.schema import Comparison, Policy, Report, VerdictName

FLIPS_IN_SIGHT = 20

TONES: dict[VerdictName, str] = {
    "SHIP": "good",
    "NO GAIN": "calm",
    "DO NOT SHIP": "bad",
    "INCONCLUSIVE": "open",
    "PRELIMINARY": "open",
    "PARTIAL": "open",
    "NOT COMPARABLE": "bad",
    "INVALID": "bad",
}
MEANINGS: dict[VerdictName, str] = {
    "SHIP": "Quality holds its margins, nothing is slower or larger, and a gain is shown.",
    "NO GAIN": "Quality holds its margins and nothing is slower or larger, but no gain is shown.",
    "DO NOT SHIP": "Something is worse than its margin allows.",
    "INCONCLUSIVE": "Not a pass: the evidence neither holds nor breaks a margin.",
    "PRELIMINARY": "Not a pass: training differs from seed to seed, and too few seeds were run to tell.",
    "PARTIAL": "Not a pass: only a part of the data was evaluated.",
    "NOT COMPARABLE": "The runs do not answer the same question.",
    "INVALID": "A measurement failed its own control, so nothing may be concluded from it.",
}


def candidate_names(report: Report) -> list[str]:
    """Return the name of each comparison's candidate, or the comparison's title when its arm is not here."""
    names = {arm.run: arm.name for arm in report.arms}
    return [names.get(comparison.candidate_run, comparison.title) for comparison in report.comparisons]


def comparison_view(report: Report, comparison: Comparison) -> dict[str, Any]:
    """Return everything that the page shows of one comparison."""
    name, fidelity = comparison.verdict, comparison.fidelity
    return {
        "title": comparison.title,
        "verdict": name,
        "tone": TONES[name],
        "meaning": MEANINGS[name],
        "exit_code": comparison.exit_code,
        "why": comparison.headline.removeprefix(f"{name}: "),
        "reasons": comparison.reasons,
        "differences": comparison.differences,
        "warnings": wording.doubts(comparison.results),
        "policy": policy_facts(comparison.policy),
        "covers": covered(report, comparison),
        "not_covered": not_covered(comparison),
        "quality": tables.quality_table(comparison),
        "latency": tables.latency_table(comparison),
        "throughput": tables.throughput_table(comparison),
        "memory": tables.memory_table(comparison),
        "counts": tables.flips_table(comparison),
        "flips_sentence": tables.flips_sentence(comparison),
        "flips": tables.flipped_examples(comparison),
        "fidelity": tables.fidelity_table(fidelity) if fidelity else None,
        "logits_plot": logits_plot(fidelity) if fidelity else None,
        "drift_plot": drift_plot(fidelity) if fidelity else None,
        "heat_plot": heat_plot(comparison),
    }


def policy_facts(policy: Policy) -> list[str]:
    """Return the margins, where they come from, and whether they were fixed before anybody looked."""
    margins = [f"{name} {margin}" for name, margin in policy.margins.items()]
    sources = {"default": "default policy", "cli": "from the command line", "file": "from a policy file"}
    fixed = {True: ["fixed before the run"], False: ["CHANGED AFTER THE RUN: nobody was bound by them"], None: []}
    digest = [f"policy {policy.sha256[:12]}"] if policy.sha256 else []
    return [", ".join(margins), sources[policy.source], *fixed[policy.fixed_before_run], *digest]


def covered(report: Report, comparison: Comparison) -> list[str]:
    """Return what the verdict was measured on."""
    subjects = {arm.run: arm.subject for arm in report.arms}
    subject = subjects.get(comparison.candidate_run)
    scope = [subject.model, subject.dtype] if subject else []
    if report.data:
        source = " ".join(filter(None, [report.data.name, report.data.split]))
        scope.append(f"{report.data.n:,} examples" + (f" of {source}" if source else ""))
    environment = report.environment
    scope += environment.gpu or [environment.cpu]
    if "torch" in environment.packages:
        scope.append(f"torch {environment.packages['torch']}")
    return [part for part in scope if part]


def not_covered(comparison: Comparison) -> list[str]:
    """Return what nobody may conclude from the verdict."""
    gaps = ["other data", "other checkpoints, devices and dtypes"]
    gaps += [] if comparison.latency else ["speed (not compared)"]
    gaps += [] if comparison.memory else ["memory (not compared)"]
    return gaps


def environment_rows(report: Report) -> list[tuple[str, str]]:
    """Return what is known about the machine of the base."""
    found = report.environment
    rows = [("python", found.python), *found.packages.items(), ("system", found.os), ("processor", found.cpu)]
    rows += [("threads", str(found.threads or wording.MISSING)), ("GPU", ", ".join(found.gpu) or "none")]
    rows += [("driver", found.driver or ""), ("governor", found.governor or "")]
    rows += [("load", ", ".join(f"{load:.2f}" for load in found.loadavg))]
    rows += [("slowed down by heat", {True: "yes", False: "no", None: ""}[found.throttled])]
    rows += [("offline", {True: "yes", False: "no", None: wording.MISSING}[found.offline])]
    return [(name, value) for name, value in [*rows, *found.env_vars.items()] if value]


def commands(report: Report) -> list[tuple[str, str]]:
    """Return the command of every arm and of the report, quoted for a shell."""
    found = [(arm.name, arm.tool.command) for arm in report.arms] + [("this report", report.tool.command)]
    return [(name, shlex.join(command)) for name, command in found if command]


def hashes(report: Report) -> list[tuple[str, str]]:
    """Return what identifies the runs: folder, weights, data, tokenizer, policy."""
    rows = [
        (arm.name, " · ".join(filter(None, [arm.run, _hash("weights", arm.subject.weights_sha256)])))
        for arm in report.arms
    ]
    if data := report.data:
        parts = (("ids", data.ids_sha256), ("inputs", data.inputs_sha256), ("tokenizer", data.tokenizer_sha256))
        rows.append(("data", " · ".join(filter(None, [data.name, *(_hash(*part) for part in parts)]))))
    return rows


def _hash(what: str, digest: str | None) -> str:
    return f"{what} {digest[:12]}" if digest else ""
