"""What runs on this machine, and why not something faster: sections of a table each, by one function each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch
from pydantic import BaseModel

from gelu_patch.activations.base import activations
from gelu_patch.blocks import libraries
from gelu_patch.blocks.product import Product
from gelu_patch.checking.paths import DTYPES, paths
from gelu_patch.energy import NoEnergy, find_reader
from gelu_patch.environment import (
    CPU_LEVEL_VARIABLE,
    DISABLE_VARIABLE,
    DISTRIBUTION,
    disabled,
    fingerprint,
    git_commit,
    governor,
    heat_events,
    package_version,
    stolen_share,
    turbo,
)
from gelu_patch.kernels import Accepted, Rejected, Request, Selection, cublaslt, kernels, select
from gelu_patch.kernels.cpu.library import Library, library
from gelu_patch.sites.table import as_text, plain_table


class Section(BaseModel):
    """One part of the diagnosis: a table, and what to type to have it better."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    advice: list[str] = []


class Diagnosis(BaseModel):
    """What the doctor says about ``device``."""

    device: str
    sections: list[Section]

    @property
    def advice(self) -> list[str]:
        """What to type, each once."""
        return list(dict.fromkeys(text for section in self.sections for text in section.advice))

    def __str__(self) -> str:
        parts = [f"{each.title}\n{as_text(plain_table(each.columns, each.rows), width=120)}" for each in self.sections]
        return "\n\n".join([*parts, *(f"next: {text}" for text in self.advice)])


def diagnose(device: str = "cpu") -> Diagnosis:
    """Say what would serve a patch on ``device`` ("cpu", "cuda", ...) in this process."""
    return Diagnosis(device=device, sections=[section(device) for section in SECTIONS])


def _environment(device: str) -> Section:
    found = fingerprint()
    packages = ", ".join(
        f"{name} {found['packages'][name]}" for name in ("torch", "transformers") if name in found["packages"]
    )
    rows = [
        [DISTRIBUTION, f"{package_version(DISTRIBUTION) or 'not installed'}, commit {git_commit() or 'unknown'}"],
        ["Python", f"{found['python']}; {packages}"],
        ["processor", f"{found['cpu']}, {found['cores']} cores, {found['os']}"],
        ["GPU", ", ".join(found["gpu"]) or "none that torch can use"],
        ["threads", f"{torch.get_num_threads()} of torch's pool (torch.set_num_threads)"],
        [CPU_LEVEL_VARIABLE, os.environ.get(CPU_LEVEL_VARIABLE) or "not set: the fastest level of the processor"],
    ]
    rows.append([DISABLE_VARIABLE, _turned_off()])
    native = library()
    if not isinstance(native, Library):
        rows.append(["C extension", f"not used: {native.reason}"])
        return Section(title="environment", columns=["what", "found"], rows=rows, advice=[native.next_step])
    levels = ", ".join(native.native.levels())
    rows.append(["C extension", f"level {native.level}; this processor has {levels}"])
    rows.append(["its threads", native.threads or "torch's own OpenMP pool"])
    return Section(title="environment", columns=["what", "found"], rows=rows)


def _turned_off() -> str:
    """What the variable names, and which of these names nothing."""
    known = {*kernels.names(), cublaslt.NAME}
    named = [name if name in known else f"{name} (not one of {', '.join(sorted(known))})" for name in disabled()]
    return ", ".join(named) or "not set: every kernel may be used"


def _kernels(device: str) -> Section:
    """Which kernel computes what; dtypes and activations that are served alike share a row."""
    alike: dict[tuple[str, str], dict[str, list[str]]] = {}
    advice: list[str] = []
    for name in activations.names():
        for dtype in DTYPES:
            selection = select(Request(name, device, DTYPES[dtype]))
            served, passed = _served(selection), _passed_over(selection)
            advice += [answer.next_step for answer in passed.values() if answer.next_step]
            why = "; ".join(f"{kernel}: {answer.reason}" for kernel, answer in passed.items())
            alike.setdefault((served, why), {}).setdefault(name, []).append(dtype)
    rows = []
    for (served, why), names in alike.items():
        for dtypes in dict.fromkeys(map(tuple, names.values())):
            group = [name for name, its in names.items() if tuple(its) == dtypes]
            rows.append([", ".join(group), ", ".join(dtypes), served, why or "-"])
    columns = ["activation", f"dtype, on {device}", "kernel", "why not a faster one"]
    return Section(title="kernels of activations", columns=columns, rows=rows, advice=advice)


def _served(selection: Selection) -> str:
    answer = dict(selection.trace)[selection.kernel.name]
    note = answer.note if isinstance(answer, Accepted) else ""
    return f"{selection.kernel.name} ({note})" if note else selection.kernel.name


def _passed_over(selection: Selection) -> dict[str, Rejected]:
    """The kernels that would have been preferred."""
    above = [kernel.name for kernel in kernels if kernel.priority > selection.kernel.priority]
    rejected = {name: answer for name, answer in selection.trace if name in above and isinstance(answer, Rejected)}
    return {name: answer for name, answer in rejected.items() if not answer.elsewhere}


def _modes(device: str) -> Section:
    rows = [[kernel.name, kernel.steps_aside or "never"] for kernel in kernels]
    return Section(title="modes", columns=["kernel", "where PyTorch's own op runs in its place"], rows=rows)


def _products(device: str) -> Section:
    """Which library multiplies before a fused GELU, measured now on a shape of BERT and GPT-2."""
    rows = []
    for name, dtype in DTYPES.items():
        reason = libraries.only_torch(dtype) if device == "cpu" else "there is no choice but on CPUs"
        if reason:
            rows.append([name, "torch", reason])
            continue
        weight, x = (torch.randn(n, 768, dtype=dtype, device="cpu") for n in (3072, 128))
        seconds = libraries.measure(Product(x, weight))
        taken = "oneDNN: {onednn:.2f} ms, torch: {torch:.2f} ms".format(**{k: 1e3 * s for k, s in seconds.items()})
        rows.append([name, libraries.faster(seconds), f"measured now, 128 rows of 768 to 3072: {taken}"])
    return Section(title="Linear before GELU", columns=["dtype", "library", "why"], rows=rows)


def _fusions(device: str) -> Section:
    """What a Linear and its GELU are computed by together; what is answered alike shares a row."""
    dtypes: dict[tuple[str, ...], list[str]] = {}
    for path in paths(torch.device(device)):
        dtypes.setdefault((path.mode, path.taken, path.why_not or "-", path.activation), []).append(path.dtype)
    names: dict[tuple[str, ...], list[str]] = {}
    for (mode, taken, why, activation), its in dtypes.items():
        names.setdefault((mode, taken, why, ", ".join(its)), []).append(activation)
    modes: dict[tuple[str, ...], list[str]] = {}
    for (mode, taken, why, types), alike in names.items():
        modes.setdefault((", ".join(alike), types, taken, why), []).append(mode)
    columns = ["mode", "activation", f"dtype, on {device}", "computed by", "why not faster"]
    rows = [["; ".join(group), *answer] for answer, group in modes.items()]
    return Section(title="Linear and GELU together", columns=columns, rows=rows)


BUSY = 0.25  # load average per core above which others get in the way of a measurement
STOLEN = 0.01
UNSTEADY = 1.25  # ninth decile over median of the times of one product: then single times say little


def _measuring(device: str) -> Section:
    """Whether times and energy that are measured here can be trusted."""
    rule, boost, load = governor(), turbo(), os.getloadavg()[0] / (os.cpu_count() or 1)
    stolen, heat, spread = stolen_share(), heat_events(), _spread()
    energy = find_reader(device)
    unknown = "cannot be read here"
    rows = [
        ["governor", rule or unknown],
        ["turbo", unknown if boost is None else "on: the frequency follows heat and load" if boost else "off"],
        ["load", f"{os.getloadavg()[0]:.2f} on {os.cpu_count()} cores (average of one minute)"],
        ["threads", f"{torch.get_num_threads()} of torch's pool (--threads)"],
        ["taken by the hypervisor", unknown if stolen is None else f"{100 * stolen:.1f} % of the time since boot"],
        ["slowed down by heat", unknown if heat is None else f"{heat} times since boot, over all cores"],
        ["steadiness", f"one matrix product, measured now: 9 of 10 within {spread:.2f} times the median"],
        ["energy", f"not available: {energy.reason}" if isinstance(energy, NoEnergy) else energy.source],
    ]
    against = {
        "other programs run": load > BUSY,
        "the frequency changes with the load": rule not in (None, "performance"),
        "the hypervisor takes time away": bool(stolen and stolen > STOLEN),
        "equal work takes unequal times": spread > UNSTEADY,
    }
    reasons = [reason for reason, holds in against.items() if holds]
    verdict = f"with care: {', '.join(reasons)}; `bench` measures longer, or says INVALID" if reasons else "yes"
    advice = [energy.next_step] if isinstance(energy, NoEnergy) and energy.next_step else []
    if against["the frequency changes with the load"]:
        advice.append("sudo cpupower frequency-set -g performance")
    if against["other programs run"]:
        advice.append("stop other programs before `gelu-patch bench`")
    rows.append(["can latency be trusted?", verdict])
    return Section(title="measuring here", columns=["what", "found"], rows=rows, advice=advice)


def _spread() -> float:
    """Return the ninth decile over the median of the times of one small product."""
    a = torch.randn(192, 192, device="cpu")
    times = []
    for _ in range(220):
        started = time.perf_counter()
        torch.mm(a, a)
        times.append(time.perf_counter() - started)
    kept = sorted(times[20:])  # the first ones wake the threads
    return kept[len(kept) * 9 // 10] / kept[len(kept) // 2]


# A further part of the diagnosis is one function here.
SECTIONS: tuple[Callable[[str], Section], ...] = (_environment, _kernels, _modes, _fusions, _products, _measuring)
