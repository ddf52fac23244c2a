"""Inputs for models of text, images and sound; each must run."""

from __future__ import annotations

import pytest
import torch
import transformers as t

from gelu_patch.errors import UnsupportedModel, UsageError
from gelu_patch.timing.inputs import check_length, default_shapes, make_inputs
from tests.zoo import tiny_bert, tiny_gpt2

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def vit() -> torch.nn.Module:
    return t.ViTForImageClassification(t.ViTConfig(**SMALL, image_size=32, patch_size=16, num_channels=4))


def wav2vec2() -> torch.nn.Module:
    return t.Wav2Vec2Model(t.Wav2Vec2Config(**SMALL, conv_dim=(16, 16), conv_stride=(5, 2), conv_kernel=(10, 3)))


def whisper() -> torch.nn.Module:
    sizes = {
        f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("attention_heads", 2))
    }
    return t.WhisperForConditionalGeneration(
        t.WhisperConfig(d_model=32, vocab_size=100, max_source_positions=10, num_mel_bins=8, **sizes,
                        encoder_ffn_dim=64, decoder_ffn_dim=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
                        decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None)
    )  # fmt: skip


def t5() -> torch.nn.Module:
    config = t.T5Config(
        d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, vocab_size=100, decoder_start_token_id=0
    )
    return t.T5ForConditionalGeneration(config)


MODELS = {
    "BERT": (tiny_bert, (2, 8), {"input_ids": (2, 8), "attention_mask": (2, 8)}),
    "GPT-2": (tiny_gpt2, (2, 8), {"input_ids": (2, 8), "attention_mask": (2, 8)}),
    "T5": (t5, (2, 8), {"input_ids": (2, 8), "attention_mask": (2, 8), "decoder_input_ids": (2, 8)}),
    "ViT": (vit, (2, 32), {"pixel_values": (2, 4, 32, 32)}),
    "Wav2Vec2": (wav2vec2, (2, 400), {"input_values": (2, 400)}),
    "Whisper": (whisper, (2, 20), {"input_features": (2, 8, 20), "decoder_input_ids": (2, 1)}),
}


@pytest.mark.parametrize("name", MODELS)
def test_inputs_have_the_shape_and_the_model_runs_on_them(name: str) -> None:
    build, shape, expected = MODELS[name]
    model = build().eval()
    inputs = make_inputs(model, shape)
    assert {key: tuple(value.shape) for key, value in inputs.items()} == expected
    with torch.inference_mode():
        model(**inputs)
    again = make_inputs(model, shape)
    assert all(torch.equal(inputs[key], again[key]) for key in inputs), "the seed decides"


def test_inputs_follow_the_dtype_of_the_model() -> None:
    model = vit().to(torch.bfloat16)
    assert make_inputs(model, (1, 32))["pixel_values"].dtype == torch.bfloat16
    assert make_inputs(tiny_bert().to(torch.bfloat16), (1, 8))["input_ids"].dtype == torch.int64


def test_default_shapes_fit_the_model() -> None:
    assert default_shapes(vit()) == ((1, 32), (8, 32))
    assert default_shapes(whisper()) == ((1, 20), (8, 20))
    assert default_shapes(tiny_bert()) == ((1, 128), (8, 128))


def test_a_shape_that_does_not_fit() -> None:
    with pytest.raises(UsageError) as error:
        make_inputs(vit(), (1, 128))
    assert "--shapes 1x32" in str(error.value)
    with pytest.raises(UsageError) as error:
        check_length(tiny_bert(), (8, 513), "forward", 0)
    assert "config.max_position_embeddings is 512" in str(error.value)
    assert "--shapes 8x512" in str(error.value)
    check_length(tiny_bert(), (8, 512), "forward", 16)
    with pytest.raises(UsageError, match="longer than"):
        check_length(tiny_gpt2(), (1, 1020), "generate", 16)


def test_models_for_which_nothing_can_be_made() -> None:
    model = tiny_bert()
    model.main_input_name = "point_cloud"
    with pytest.raises(UnsupportedModel) as error:
        make_inputs(model, (1, 8))
    assert "'point_cloud'" in str(error.value)
    assert "inputs=lambda shape" in str(error.value)
    with pytest.raises(UnsupportedModel, match="does not generate"):
        check_length(tiny_bert(), (1, 8), "generate", 4)
