"""Makers of token inputs. A maker returns the alternatives for one parameter, the likeliest first."""

from __future__ import annotations

import torch

from .context import TEXT, Context

Alternatives = list[torch.Tensor]


def input_ids(context: Context) -> Alternatives:
    """Tokens that end with the end token, by which some heads pool; or one row of codes for each codebook."""
    tokens = context.tokens(context.batch, context.length)
    end = context.find("eos_token_id", "eos_index", prefer=TEXT)
    end = end[0] if isinstance(end, list | tuple) and end else end
    vocabulary = context.number("vocab_size", default=10**9)
    if isinstance(end, int) and 0 <= end < vocabulary:
        tokens[:, -1] = end
    codebooks = context.number(
        "num_codebooks", "n_codebooks", "num_channels", "n_codes_total", prefer=("decoder",), default=1
    )
    codes = context.integers(1, 30, context.batch, context.length, codebooks)
    flat = codes.transpose(1, 2).reshape(-1, context.length)
    return [tokens, codes, flat, codes.transpose(1, 2).contiguous()]


def decoder_input_ids(context: Context) -> Alternatives:
    """As many tokens as the encoder gets (classifiers look up its end token there), or codes for each codebook."""
    return input_ids(context)


def ones(context: Context) -> Alternatives:
    """A mask that masks nothing."""
    return [torch.ones(context.batch, context.length, dtype=torch.long)]


def zeros(context: Context) -> Alternatives:
    """Ids of the first kind, for every token."""
    return [torch.zeros(context.batch, context.length, dtype=torch.long)]


def boxes(context: Context) -> Alternatives:
    """A box (left, top, right, bottom) for each token, in integers or in parts of the page."""
    corner = context.integers(0, 50, context.batch, context.length, 2)
    box = torch.cat([corner, corner + 20], dim=-1)
    return [box, box.float() / 100, (box.float() / 100).repeat(1, 1, 2)]


def embeddings(context: Context) -> Alternatives:
    """Hidden states of the model's own width."""
    width = context.number("hidden_size", "d_model", "n_embd", "embed_dim", "hidden_dim", default=32)
    return [context.normal(context.batch, context.length, width)]


def encoder_states(context: Context) -> Alternatives:
    """Hidden states of an encoder, of its width where the config names one."""
    names = ("encoder_hidden_size", "cross_attention_hidden_size", "cross_hidden_size", "encoder_dim", "hidden_size")
    width = context.number(*names, "d_model", default=32)
    other = context.number("hidden_size", "d_model", prefer=("encoder", "audio", "vision"), default=32)
    return [context.normal(context.batch, context.length, size) for size in (width, other)] + embeddings(context)


def short_tokens(context: Context) -> Alternatives:
    """A row of few tokens for a second text encoder."""
    return [context.tokens(context.batch, 8)]


def protein(context: Context) -> Alternatives:
    """Amino acids of a second vocabulary."""
    return [context.integers(4, 20, context.batch, context.length)]


def word_parts(context: Context) -> Alternatives:
    """XPath tags or subscripts of MarkupLM: (batch, length, depth)."""
    return [context.integers(0, 5, context.batch, context.length, context.number("max_depth", default=50))]


MAKERS = {
    "input_ids": input_ids,
    "query_embeds": embeddings,
    "classes_attention_mask": lambda context: [torch.ones(context.batch, 8, dtype=torch.long)],
    "tasks_attention_mask": lambda context: [torch.ones(context.batch, 8, dtype=torch.long)],
    "classes_structure": lambda context: [torch.ones(context.batch, dtype=torch.long)],
    "decoder_input_ids": decoder_input_ids,
    "attention_mask": ones,
    "token_type_ids": zeros,
    "bbox": boxes,
    "inputs_embeds": embeddings,
    "encoder_hidden_states": encoder_states,
    "qformer_input_ids": short_tokens,
    "classes_input_ids": short_tokens,
    "tasks_input_ids": short_tokens,
    "protein_input_ids": protein,
    "protein_attention_mask": ones,
    "xpath_tags_seq": word_parts,
    "xpath_subs_seq": word_parts,
}
