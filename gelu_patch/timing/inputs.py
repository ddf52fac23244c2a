"""Made-up inputs for a model and a shape, by what its main input is: tokens, pixels, waveforms or spectrograms."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gelu_patch.errors import UnsupportedModel, UsageError
from gelu_patch.registry import Registry
from gelu_patch.timing.shapes import Phase, Shape, shape_text

Inputs = dict[str, torch.Tensor]

_HOOK = "in Python: gp.benchmark(model, inputs=lambda shape: {...}), a function from (batch, length) to the inputs"


@dataclass(frozen=True)
class InputKind:
    """How to make one kind of input, named as a Transformers model names its main input.

    ``length`` says what the second number of a shape is; ``default_length`` reads from the config which one to take
    when nobody said; ``make`` returns the inputs on the CPU, in float32 or int64.
    """

    name: str
    length: str
    default_length: Callable[[Any], int]
    make: Callable[[Any, Shape, torch.Generator], Inputs]


input_kinds: Registry[InputKind] = Registry("input kind")


def input_kind(model: nn.Module) -> InputKind:
    """Return how inputs of ``model`` are made. Raises UnsupportedModel when no way is known."""
    name = getattr(model, "main_input_name", "input_ids")
    if name not in input_kinds:
        raise UnsupportedModel(
            f"no inputs can be made for {type(model).__name__}",
            why=f"its main input is {name!r}; known are: {', '.join(input_kinds.names())}",
            next_step=_HOOK,
        )
    return input_kinds.get(name)


def default_shapes(model: nn.Module) -> tuple[Shape, ...]:
    """Return a batch of 1 and one of 8, at the usual length of the model's kind of input."""
    length = input_kind(model).default_length(getattr(model, "config", None))
    return ((1, length), (8, length))


def make_inputs(model: nn.Module, shape: Shape, seed: int = 0) -> Inputs:
    """Return random inputs of ``shape`` on the model's device, floating point ones in its dtype.

    Raises UnsupportedModel when none can be made, UsageError when the shape does not fit the model.
    """
    config = getattr(model, "config", None)
    found = input_kind(model).make(config, shape, torch.Generator().manual_seed(seed))
    if getattr(config, "is_encoder_decoder", False):
        # A short answer that begins; the encoder's input is what the shape is about, except for text to text.
        length = shape[1] if "input_ids" in found else 1
        found["decoder_input_ids"] = torch.full((shape[0], length), _first_token(config))
    accepted = inspect.signature(model.forward).parameters
    if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in accepted.values()):
        found = {name: value for name, value in found.items() if name in accepted}
    return on_device_of(model, found)


def on_device_of(model: nn.Module, inputs: Inputs) -> Inputs:
    """Return the inputs on the device of the model's parameters, floating point ones in their dtype."""
    like = next(model.parameters(), torch.empty(0))
    return {
        name: value.to(like.device, like.dtype if value.is_floating_point() and like.is_floating_point() else None)
        for name, value in inputs.items()
    }


def check_length(model: nn.Module, shape: Shape, phase: Phase, new_tokens: int) -> None:
    """Raise UsageError when the shape has more tokens than the model has positions, UnsupportedModel for a phase
    that the model does not have."""
    config = getattr(model, "config", None)
    if phase == "generate" and not getattr(model, "can_generate", bool)():
        raise UnsupportedModel(
            f"{type(model).__name__} does not generate text",
            why="it has no language-model head that `generate` can use",
            next_step="--phase forward, or a checkpoint with a head, such as one of a ...ForCausalLM class",
        )
    limit = getattr(config, "max_position_embeddings", None)
    if getattr(model, "main_input_name", "input_ids") != "input_ids" or not isinstance(limit, int) or limit <= 0:
        return
    needed = shape[1] + (new_tokens if phase == "generate" else 0)
    if needed > limit:
        raise UsageError(
            f"the shape {shape_text(shape)} is longer than {type(model).__name__} allows",
            why=f"{phase} needs {needed} positions, and config.max_position_embeddings is {limit}",
            next_step=f"--shapes {shape_text((shape[0], max(1, limit - needed + shape[1])))}",
        )


def text_inputs(model: nn.Module, shape: Shape, seed: int = 0) -> Inputs:
    """Return random token ids ``(batch, seq)`` below the model's vocabulary size, on the model's device.

    Raises UnsupportedModel when the model has no vocabulary.
    """
    found = _tokens(getattr(model, "config", None), shape, torch.Generator().manual_seed(seed))
    return on_device_of(model, found)


def _tokens(config: Any, shape: Shape, generator: torch.Generator) -> Inputs:
    vocabulary = getattr(config, "vocab_size", None) or getattr(_part(config, "text_config"), "vocab_size", None)
    if not isinstance(vocabulary, int):
        raise UnsupportedModel(
            "the model has no vocabulary to draw tokens from", why="its config has no vocab_size", next_step=_HOOK
        )
    # No padding: its ids are left out where the config names them, because some models mask or count them.
    ids = torch.randint(0, vocabulary, shape, generator=generator)
    padding = getattr(config, "pad_token_id", None)
    if isinstance(padding, int) and vocabulary > 1:
        ids[ids == padding] = (padding + 1) % vocabulary
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _pixels(config: Any, shape: Shape, generator: torch.Generator) -> Inputs:
    side = _image_side(config)
    if shape[1] != side:
        raise UsageError(
            f"the shape {shape_text(shape)} does not fit this model",
            why=f"the second number is the side of an image, and config.image_size is {side}",
            next_step=f"--shapes {shape_text((shape[0], side))}",
        )
    channels: Any = getattr(config, "num_channels", None) or getattr(_part(config, "vision_config"), "num_channels", 3)
    return {"pixel_values": torch.randn(shape[0], channels, side, side, generator=generator)}


def _image_side(config: Any) -> int:
    size = getattr(config, "image_size", None) or getattr(_part(config, "vision_config"), "image_size", None)
    sides = set(size) if isinstance(size, list | tuple) else {size}
    side = sides.pop()
    if sides or not isinstance(side, int):
        raise UnsupportedModel(
            "no images can be made for this model", why=f"its config has image_size {size!r}", next_step=_HOOK
        )
    return side


def _waveform(config: Any, shape: Shape, generator: torch.Generator) -> Inputs:
    return {"input_values": torch.randn(*shape, generator=generator)}


def _spectrogram(config: Any, shape: Shape, generator: torch.Generator) -> Inputs:
    bins, frames = getattr(config, "num_mel_bins", None), _frames(config)
    if not isinstance(bins, int):
        raise UnsupportedModel(
            "no spectrograms can be made for this model", why="its config has no num_mel_bins", next_step=_HOOK
        )
    if shape[1] != frames:
        raise UsageError(
            f"the shape {shape_text(shape)} does not fit this model",
            why=f"the second number is the number of frames, and this model takes exactly {frames}",
            next_step=f"--shapes {shape_text((shape[0], frames))}",
        )
    return {"input_features": torch.randn(shape[0], bins, frames, generator=generator)}


def _frames(config: Any) -> int:
    positions = getattr(config, "max_source_positions", None)
    if not isinstance(positions, int):
        raise UnsupportedModel(
            "no spectrograms can be made for this model",
            why="its config has no max_source_positions, as Whisper's has",
            next_step=_HOOK,
        )
    return 2 * positions  # the second convolution of Whisper has stride 2


def _part(config: Any, name: str) -> Any:
    return getattr(config, name, None)


def _first_token(config: Any) -> int:
    candidates = (getattr(config, name, None) for name in ("decoder_start_token_id", "bos_token_id", "pad_token_id"))
    return next((token for token in candidates if isinstance(token, int)), 0)


input_kinds.register(InputKind("input_ids", "tokens", lambda config: 128, _tokens))
input_kinds.register(InputKind("pixel_values", "pixels of a side", _image_side, _pixels))
input_kinds.register(InputKind("input_values", "samples of sound", lambda config: 16_000, _waveform))
input_kinds.register(InputKind("input_features", "frames", _frames, _spectrogram))
