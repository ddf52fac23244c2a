"""What makes two evaluations the same: equal identities give equal predictions, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from gelu_patch.environment import CPU_LEVEL_VARIABLE, DISABLE_VARIABLE, DISTRIBUTION, fingerprint, package_version
from gelu_patch.reporting.storage.predictions import digest
from gelu_patch.tasks.evaluate import Prepared

VERSIONS = (DISTRIBUTION, "torch", "transformers")
SHOWN_CHARACTERS = 24


def identity_of(prepared: Prepared, *, noise_examples: int) -> dict[str, Any]:
    """Return, as plain data, all that decides what an evaluation computes: model, plan, data, protocol, machine."""
    subject, data, protocol = prepared.subject, prepared.data, prepared.protocol
    sites = [(site.site, site.from_, site.to, site.kernel, site.kernel_version) for site in subject.patch.plan]
    return {
        "model": {"weights": subject.weights_sha256, "architecture": subject.architecture, "dtype": subject.dtype},
        "patch": {"target": subject.patch.target, "sites": len(sites), "plan": digest(sites)},
        "data": {"n": data.n, "labels": digest(data.labels), "ids": data.ids_sha256, "inputs": data.inputs_sha256},
        "tokenizer": data.tokenizer_sha256,
        "protocol": protocol.model_dump(include=set(_PROTOCOL)) | {"noise_examples": noise_examples},
        "machine": {"device": _device_of(prepared.model), "threads": torch.get_num_threads(), **_switches()},
        "versions": {name: package_version(name) for name in VERSIONS},
    }


_PROTOCOL = ("task", "batch_size", "padding", "max_length", "stride", "seed", "data_seed", "deterministic")


def _switches() -> dict[str, str]:
    """What somebody turned off, by environment variable: others compute then, and last bits differ."""
    return {name: os.environ.get(name, "") or "not set" for name in (CPU_LEVEL_VARIABLE, DISABLE_VARIABLE)}


def _device_of(model: nn.Module) -> str:
    device = next(model.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(fingerprint()["cpu"])


def key_of(identity: Mapping[str, Any]) -> str:
    """Return one hash for an identity."""
    return digest([f"{name}={value!r}" for name, value in _flat(identity)])


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name what differs between two identities, with both values."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        f"{name} was {_short(old.get(name))} and is {_short(new.get(name))}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in sorted(tree):
        value = tree[name]
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:12] + "…"
