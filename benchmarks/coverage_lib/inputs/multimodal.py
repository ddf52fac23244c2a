"""Text with placeholders for images, videos and sounds, so that the towers run inside of the plain forward.

How many placeholders an input needs is another formula in each folder. The model itself knows: its
``get_image_features`` (or video, audio) is run first and its rows are counted.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from .context import TEXT, Context, parameters_of
from .guess import Arguments, CannotGuess, guesses


@dataclass(frozen=True)
class Modality:
    """How a kind of input is called: its getter, and the config fields of its placeholder, start and end."""

    name: str
    getters: tuple[str, ...]
    token: tuple[str, ...]
    start: tuple[str, ...]
    end: tuple[str, ...]
    kind: int


MODALITIES = (
    Modality(
        "image",
        ("get_image_features",),
        ("image_token_id", "image_token_index", "img_token_id", "media_token_id", "image_patch_id", "im_token_id"),
        ("vision_start_token_id", "image_start_token_id", "boi_token_id", "boi_token_index", "vision_bos_token_id"),
        ("vision_end_token_id", "image_end_token_id", "eoi_token_id", "eoi_token_index", "vision_eos_token_id"),
        1,
    ),
    Modality(
        "video",
        ("get_video_features",),
        ("video_token_id", "video_token_index"),
        ("vision_start_token_id", "video_start_token_id"),
        ("vision_end_token_id", "video_end_token_id"),
        2,
    ),
    Modality(
        "audio",
        ("get_audio_features", "get_speech_features"),
        ("audio_token_id", "audio_token_index", "audio_token", "speech_token_id"),
        ("audio_start_token_id", "audio_bos_token_id", "boa_token_id"),
        ("audio_end_token_id", "audio_eos_token_id", "eoa_token_id"),
        3,
    ),
)


@dataclass(frozen=True)
class Tower:
    """A getter that runs: on which arguments, and how many rows it returns."""

    modality: Modality
    path: str
    getter: str
    arguments: Arguments
    rows: int


def towers(model: torch.nn.Module, config: Any) -> list[Tower]:
    """Return the towers of ``model`` that can be run by their getters."""
    found = [_tower(model, config, modality) for modality in MODALITIES]
    return [tower for tower in found if tower is not None]


def _tower(model: torch.nn.Module, config: Any, modality: Modality) -> Tower | None:
    for path in ("", "model", "base_model_prefix"):
        path = getattr(model, path, "") if path == "base_model_prefix" else path
        owner = getattr(model, path, None) if path else model
        for name in modality.getters:
            getter = getattr(owner, name, None)
            if getter is None:
                continue
            try:
                for arguments in guesses(Context(getter, config, batch=1)):
                    rows = _rows(getter, arguments)
                    if rows:
                        return Tower(modality, path, name, arguments, rows)
            except CannotGuess:
                continue
    return None


def _rows(getter: Any, arguments: Arguments) -> int:
    """Run a getter; return how many feature vectors it gives, 0 when it does not run."""
    try:
        with torch.no_grad():
            output = getter(**copy.deepcopy(arguments))
    except Exception:
        return 0
    output = getattr(output, "pooler_output", None) if hasattr(output, "pooler_output") else output
    while isinstance(output, list | tuple) and output and not isinstance(output[0], torch.Tensor):
        output = output[0]
    features = output if isinstance(output, list | tuple) else [output]
    return sum(one.numel() // one.shape[-1] for one in features if isinstance(one, torch.Tensor) and one.ndim)


def combined(model: torch.nn.Module, config: Any, found: list[Tower]) -> Iterator[Arguments]:
    """Yield arguments of the forward that hold text and all towers' inputs, then text and each alone."""
    groups = [found, *([tower] for tower in found)] if len(found) > 1 else [found]
    for group in groups:
        arguments = _with_placeholders(model, config, group)
        if arguments is not None:
            yield arguments


def _with_placeholders(model: torch.nn.Module, config: Any, group: list[Tower]) -> Arguments | None:
    context = Context(model.forward, config, batch=1)
    accepted = context.parameters
    ids, kinds = context.tokens(1, 4)[0].tolist(), [0] * 4
    arguments: Arguments = {}
    for tower in group:
        token = context.find(*tower.modality.token)
        if not isinstance(token, int) or not set(tower.arguments) & set(accepted):
            return None
        start, end = context.find(*tower.modality.start), context.find(*tower.modality.end)
        for value, times, kind in ((start, 1, 0), (token, tower.rows, tower.modality.kind), (end, 1, 0)):
            if isinstance(value, int):
                ids += [value] * times
                kinds += [kind] * times
        arguments.update({name: value for name, value in tower.arguments.items() if name in accepted})
    ids += context.tokens(1, 4)[0].tolist()
    kinds += [0] * 4
    last = context.find("eos_token_id", prefer=TEXT)
    if isinstance(last, int) and last not in ids:
        ids[-1] = last
    arguments["input_ids"] = torch.tensor([ids])
    if "use_cache" in accepted:
        arguments["use_cache"] = False
    if "mm_token_type_ids" in accepted:
        arguments["mm_token_type_ids"] = torch.tensor([kinds])
    if "decoder_input_ids" in accepted:
        arguments["decoder_input_ids"] = context.tokens(1, 4)
    return arguments


def as_asked(model: torch.nn.Module, config: Any, arguments: Arguments, error: str) -> Arguments | None:
    """Return the arguments with as many placeholders as the error of the model counts features.

    Some getters want the text, too, and cannot be asked beforehand.
    """
    asked = _ASKED.search(error)
    ids = arguments.get("input_ids")
    modality = next((each for each in MODALITIES if asked and each.name == asked[1].lower()), None)
    if asked is None or modality is None or ids is None or ids.ndim != 2:
        return None
    token = Context(model.forward, config).find(*modality.token)
    count = int(asked[2]) // len(ids)
    if not isinstance(token, int) or not 0 < count < 4096:
        return None
    return {**arguments, "input_ids": torch.cat([ids[:, :4], torch.full((len(ids), count), token), ids[:, 4:]], dim=1)}


_ASKED = re.compile(r"(image|video|audio) features and \w+ tokens do not match\D+0\D+(\d+)", re.IGNORECASE)


def untouched(model: torch.nn.Module, given: set[str]) -> list[str]:
    """Return the modalities that ``model`` has a getter for and of which no argument is among ``given``.

    Videos run through the tower of the images in most models, and are no reason to look further.
    """
    missing = []
    for modality in MODALITIES:
        getters = [getattr(model, name) for name in modality.getters if hasattr(model, name)]
        if modality.name != "video" and getters and not set(parameters_of(getters[0])) & given:
            missing.append(modality.name)
    return missing
