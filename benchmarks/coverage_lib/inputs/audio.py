"""Makers of sound: spectrograms, waves and codes."""

from __future__ import annotations

import torch

from .context import AUDIO, Context
from .text import Alternatives

SAMPLES = 6400  # 20 frames of the usual stride of 320
FRAMES = 128


def mels(context: Context) -> int:
    """Return the number of mel bins."""
    return context.number(
        "num_chroma", "num_mel_bins", "n_mels", "input_feat_per_channel", "feature_size", "mel_dim", "mel_bins",
        "num_features", "feature_projection_input_dim", "input_feat_size", "input_size", "model_in_dim", "input_dim",
        prefer=AUDIO, default=80,
    )  # fmt: skip


def frames(context: Context) -> int:
    """Return the number of frames: some encoders take exactly twice their positions."""
    window = context.number("n_window", prefer=AUDIO, default=0)
    if window:
        return 2 * window
    positions = context.number("max_source_positions", prefer=AUDIO, default=0)
    return (
        2 * positions if 0 < positions <= 1500 else context.number("max_length", "window", prefer=AUDIO, default=FRAMES)
    )


def features(context: Context) -> Alternatives:
    """Spectrograms: (batch, mel bins, frames) or (batch, frames, mel bins)."""
    spectrogram = context.normal(context.batch, mels(context), frames(context))
    turned = spectrogram.transpose(1, 2).contiguous()
    wave = context.normal(context.batch, 1, SAMPLES)
    if "input_features_mask" in context.parameters and not context.find("max_source_positions", prefer=AUDIO):
        return [turned, spectrogram, wave, wave[:, 0]]
    return [spectrogram, turned, wave, wave[:, 0], turned[:, None]]


def waves(context: Context) -> Alternatives:
    """(batch, samples), with an axis of channels, or a spectrogram where a class says values and means features."""
    wave = context.normal(context.batch, SAMPLES)
    channels = context.number("audio_channels", "channels", prefer=AUDIO, default=1)
    spectrogram = context.normal(context.batch, frames(context), mels(context))
    stereo = wave[:, None].repeat(1, channels if channels < 8 else 1, 1)
    return [
        wave,
        stereo,
        spectrogram,
        spectrogram.transpose(1, 2).contiguous(),
        context.tokens(context.batch, context.length),
    ]


def feature_mask(context: Context) -> Alternatives:
    """One flag for each frame, or for each sample."""
    return [
        torch.ones(context.batch, frames(context), dtype=torch.long),
        torch.ones(context.batch, frames(context), dtype=torch.long),
        torch.ones(context.batch, SAMPLES, dtype=torch.long),
        torch.ones(context.batch, SAMPLES, dtype=torch.long),
    ]


def codes(context: Context) -> Alternatives:
    """Codes of an audio codec: (batch, codebooks, frames) or (batch, frames, codebooks)."""
    books = context.number("num_codebooks", "n_codebooks", "num_quantizers", prefer=AUDIO, default=4)
    made = context.integers(0, 16, context.batch, books, 12)
    return [made, made.transpose(1, 2).contiguous(), made[:, 0]]


def latents(context: Context) -> Alternatives:
    """Latent frames of a codec, channels first."""
    width = context.number("hidden_size", "latent_dim", default=32)
    made = context.normal(context.batch, width, 12)
    return [made, made.transpose(1, 2).contiguous()]


def spectrogram(context: Context) -> Alternatives:
    """What a vocoder takes: (batch, frames, mel bins)."""
    bins = context.number("model_in_dim", "mel_dim", "num_mel_bins", default=80)
    made = context.normal(context.batch, 16, bins)
    return [made, made.transpose(1, 2).contiguous()]


MAKERS = {
    "input_features": features,
    "audio_input_features": features,
    "audio_mel": features,
    "input_values": waves,
    "decoder_input_values": spectrogram,
    "input_features_mask": feature_mask,
    "feature_attention_mask": feature_mask,
    "padding_mask": feature_mask,
    "audio_mel_mask": lambda context: [torch.zeros(context.batch, frames(context), dtype=torch.bool)],
    "audio_codes": codes,
    "codes": codes,
    "latents": latents,
    "audio_latents": latents,
    "spectrogram": spectrogram,
    "mel_spectrogram": spectrogram,
    "lang_id": lambda context: [torch.zeros(context.batch, 1, dtype=torch.long)],
    "spkr_id": lambda context: [torch.zeros(context.batch, 1, dtype=torch.long)],
    "speaker_id": lambda context: [torch.zeros(context.batch, 1, dtype=torch.long)],
    "speaker_embeddings": lambda context: [
        context.normal(context.batch, context.number("speaker_embedding_dim", default=512))
    ],
}
