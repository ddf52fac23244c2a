"""The Linear+GELU part of the page, from cpu_linear.json."""

from __future__ import annotations

import statistics

from .bars import LINEAR_BAR
from .markdown import Json, measured, table
from .names import MKL, MKL_AGAIN, OURS, PLAIN_LINEARS
from .ratios import judge, noise, speed


def write(result: Json) -> tuple[str, list[str]]:
    pieces, parts, verdicts = result["pieces"], [], []
    groups: dict[tuple[str, str], dict[str, Json]] = {}
    for key, piece in pieces.items():
        _, dtype, sizes, rows = key.split(":")
        groups.setdefault((piece["title"], dtype), {})[f"{sizes.replace('-', ' to ')}, {rows} rows"] = piece
    for (title, dtype), members in groups.items():
        others = list(dict.fromkeys(name for piece in members.values() for name in piece["samples"]))
        others.remove(MKL)
        lines = []
        for size, piece in members.items():
            words, verdict = bar_of(piece)
            verdicts.append(verdict)
            lines.append((size, *(cell(piece, name) for name in (MKL, *others)), words, verdict))
        header = ("product", f"{MKL}, ms", *others, "ours / fastest plain linear", f"bar: at most {LINEAR_BAR}")
        parts.append(f"### {title}, {dtype}\n\n{table(header, lines)}")
    shares = [noise(speed(piece["samples"], MKL_AGAIN, MKL)) for piece in pieces.values()]
    rounds = sorted({len(piece["samples"][MKL]) for piece in pieces.values()})
    explained = (
        f"Times relative to `{MKL}` alone, without an activation (median of the rounds). Plain linears are "
        f"{' and '.join(f'`{name}`' for name in PLAIN_LINEARS)}, with the weights as they are; the bar is about the "
        f'one that is faster at that size. {OURS}: `patch_model(m, "gelu_fused")`. One thread, rounds: '
        f"{', '.join(map(str, rounds))}. A/A control: `{MKL}` differs from itself by up to "
        f"{max(shares):.1%} in the worst of the products, {statistics.median(shares):.1%} in the median."
    )
    return "\n\n".join([measured(pieces.values()), explained, *parts]), verdicts


def cell(piece: Json, name: str) -> str:
    samples = piece["samples"]
    if name not in samples:
        return "–"
    if name == MKL:
        return f"{statistics.median(samples[MKL]) * 1e3:.3f}"
    return f"{statistics.median(a / b for a, b in zip(samples[name], samples[MKL], strict=True)):.2f}"


def bar_of(piece: Json) -> tuple[str, str]:
    """Return the ratio of ours to the fastest plain linear in words, and the verdict."""
    samples = piece["samples"]
    fastest = min(
        (name for name in PLAIN_LINEARS if name in samples), key=lambda name: statistics.median(samples[name])
    )
    if OURS not in samples:
        return "", "not measured"
    found = speed(samples, OURS, fastest)
    words = f"{1 / found.ratio:.3f} [{1 / found.high:.3f}, {1 / found.low:.3f}] {fastest}"
    return words, judge(found, speed(samples, MKL_AGAIN, MKL), 1 / LINEAR_BAR)
