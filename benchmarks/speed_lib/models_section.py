"""The part of the page about whole models, from cpu_models.json."""

from __future__ import annotations

import statistics

from .bars import MODEL_BARS, Bar
from .markdown import Json, measured, table
from .names import AGAIN, COMPILED, STOCK
from .ratios import effect, judge, speed

FEWEST_ROUNDS = 9  # of fewer, the bootstrap's interval of a median is little more than the two extremes
PHASES = {"infer": "inference", "train": "training step"}


def write(result: Json) -> tuple[str, list[str]]:
    pieces = result["pieces"]
    rows = [bar_row(bar, pieces.get(bar.piece)) for bar in MODEL_BARS]
    bars = table(("piece", "bar: floor / goal", "times as fast", "what it shows", "bar", "A/A control"), rows)
    groups: dict[tuple[str, str], dict[str, Json]] = {}
    for key, piece in pieces.items():
        model, dtype, phase, threads = key.split(":")
        groups.setdefault((model, phase), {})[f"{dtype}, {threads} thread{'s' * (threads != '1')}"] = piece
    explained = (
        "Models without language-model heads, no cache, no padding; arms are the same weights in several module trees. "
        "Inference is one forward without gradients. A training step is forward in training mode (with the dropout of "
        "the model's config) and backward from a given gradient of the hidden states, without an optimizer. Each cell: "
        "how many times as fast as stock."
    )
    details = [detail(phase, members) for (_, phase), members in groups.items()]
    return "\n\n".join([measured(pieces.values()), explained, bars, *details]), [row[4] for row in rows]


def unfit(piece: Json) -> str:
    """Say why the piece can neither reach nor miss a bar of the model that its title names; "" when it can."""
    if piece["quick"]:
        return "tiny"
    if piece["layers"] != piece["layers_of_the_model"]:
        return f"{piece['layers']} of {piece['layers_of_the_model']} layers"
    rounds = len(piece["samples"][STOCK])
    return f"only {rounds} rounds" if rounds < FEWEST_ROUNDS else ""


def title_of(piece: Json) -> str:
    return f"{piece['title']} (**{unfit(piece)}**)" if unfit(piece) else str(piece["title"])


def bar_row(bar: Bar, piece: Json | None) -> tuple[str, str, str, str, str, str]:
    model, dtype, phase, threads = bar.piece.split(":")
    what = f"{dtype}, {PHASES[phase]}, {threads} thread{'s' * (threads != '1')}"
    missing = [name for name in (bar.ours, bar.other, AGAIN) if not piece or name not in piece["samples"]]
    if piece is None or missing:
        reason = "" if piece is None else f"without {missing[0]}"
        return f"{model} {what}", bar.text, "", reason, "not measured", ""
    samples = piece["samples"]
    found, control = speed(samples, bar.ours, bar.other), speed(samples, AGAIN, STOCK)
    numbers = f"{found} ({found.of_minima:.3f})"
    reason = unfit(piece)
    verdict = f"not measured: {reason}" if reason else judge(found, control, bar.floor, bar.goal)
    return f"{title_of(piece)} {what}", bar.text, numbers, effect(found, control), verdict, str(control)


def detail(phase: str, members: dict[str, Json]) -> str:
    first = next(iter(members.values()))
    arms = list(dict.fromkeys(name for piece in members.values() for name in piece["samples"]))
    lines = [(name, *(cell(piece, name) for piece in members.values())) for name in arms]
    shape = "x".join(map(str, first["shape"]))
    parts = [
        f"### {title_of(first)}: {PHASES[phase]}, {shape} tokens",
        table(("arm", *members), lines),
    ]
    if remarks := "\n".join(remark for name, piece in members.items() for remark in remarks_of(name, piece)):
        parts.append(remarks)
    return "\n\n".join(parts)


def cell(piece: Json, name: str) -> str:
    samples = piece["samples"]
    if name not in samples:
        return "–"
    if name == STOCK:
        values = samples[STOCK]
        return f"{statistics.median(values) * 1e3:.1f} ms (fastest {min(values) * 1e3:.1f}, {len(values)} rounds)"
    found = speed(samples, name, STOCK)
    return f"{found} ({found.of_minima:.3f})"


def remarks_of(name: str, piece: Json) -> list[str]:
    remarks = [
        f"* {name}: {arm} was not measured: {reason.splitlines()[0]}" for arm, reason in piece["skipped"].items()
    ]
    if COMPILED in piece["notes"]:
        remarks.append(f"* {name}: {COMPILED} took {piece['notes'][COMPILED]['seconds to compile']:.0f} s to compile")
    return remarks
