"""Guessing the arguments of a function of a model: its signature names them, the makers fill them."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from . import audio, series, text, vision
from .context import Context

Arguments = dict[str, Any]

MAKERS: dict[str, Callable[[Context], list[Any]]] = {
    **text.MAKERS,
    **vision.MAKERS,
    **audio.MAKERS,
    **series.MAKERS,
}

# Given whenever a signature has them, though they are optional there.
PRIMARY = (
    "input_ids", "decoder_input_ids", "pixel_values", "input_features", "input_values", "decoder_input_values",
    "bbox", "flattened_patches", "inputs", "past_values", "future_values", "future_time_features", "states",
    "actions", "rewards", "returns_to_go", "timesteps", "sample", "high_res_pixel_values", "audio_codes",
    "image_pixel_values", "audio_input_features", "protein_input_ids", "protein_attention_mask", "image",
    "visual_feats", "visual_pos", "visual_embeds", "aspect_ratio_ids", "aspect_ratio_mask", "input_points",
    "spectrogram", "speaker_embeddings", "conditional_pixel_values", "xpath_tags_seq", "xpath_subs_seq",
)  # fmt: skip
# They describe a primary one; some models need them and some refuse them.
COMPANIONS = (
    "image_grid_thw", "video_grid_thw", "image_grid_hw", "spatial_shapes", "pixel_attention_mask", "image_sizes",
    "pixel_position_ids", "image_position_ids", "input_features_mask", "feature_attention_mask", "merge_sizes",
    "image_merge_sizes", "target_sizes", "image_attention_mask", "image_embeds_position_mask",
)  # fmt: skip
# Another way of saying what a primary one says: only where the signature has none.
LAST_RESORT = ("pixel_values_videos", "inputs_embeds", "hidden_states")
VARIANTS = 6


class CannotGuess(Exception):
    """A required parameter has no maker."""


def guesses(context: Context) -> Iterator[Arguments]:
    """Yield arguments for ``context.function``, the likeliest first; never the same twice."""
    parameters = context.parameters
    required = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty]
    unknown = [name for name in required if name not in MAKERS]
    if unknown:
        raise CannotGuess(f"no way to make the required {', '.join(unknown)}")
    primary = [name for name in parameters if name in PRIMARY or name in required]
    primary = primary or [name for name in LAST_RESORT if name in parameters][:1]
    if "inputs" in primary and "input_ids" in primary:
        primary.remove("input_ids")  # the old name for the same
    companions = [name for name in COMPANIONS if name in parameters and name not in primary]
    seen: list[list[tuple[str, tuple[int, ...]]]] = []
    passes = (
        (companions, text.MAKERS),
        ([], text.MAKERS),
        ([*companions, "attention_mask"], text.MAKERS),
        ([*companions, "encoder_hidden_states"], text.MAKERS.keys() - {"encoder_hidden_states"}),
        (companions, {"input_ids"}),
        (companions, {}),
    )
    for (extra, fixed), variant in itertools.product(passes, range(VARIANTS)):
        names = primary + [name for name in extra if name in parameters and name not in primary]
        # Text is text most of the time; the alternatives of its makers are codes of sounds.
        fixed = fixed if len(primary) > 1 else {"attention_mask"}
        made = {name: _choice(MAKERS[name](context), 0 if name in fixed else variant) for name in names}
        if "use_cache" in parameters:
            made["use_cache"] = False  # caches of hybrid models need layers that two layers do not have
        shapes = [(name, tuple(value.shape) if isinstance(value, torch.Tensor) else ()) for name, value in made.items()]
        if shapes not in seen:
            seen.append(shapes)
            yield made


def _choice(alternatives: list[Any], variant: int) -> Any:
    return alternatives[min(variant, len(alternatives) - 1)]
