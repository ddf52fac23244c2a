"""A tiny random BERT with its tokenizer, and labelled sentences: enough to run everything, too small to learn.

Dropout is off unless asked for, so that tests can compare numbers.
"""

from __future__ import annotations

from pathlib import Path

import torch

from gelu_patch.tasks import LabelMap, TextExamples

WORDS = ("good", "bad", "film", "plot", "a", "the", "very", "dull", "bright", "story", "actor", "is")


def save_tiny_bert(path: Path, *, head: bool = False, dropout: float = 0.0, num_labels: int = 2) -> Path:
    """Write a checkpoint of 2 layers and 32 channels, with or without a classification head."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    path.mkdir(parents=True, exist_ok=True)
    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)}, model_max_length=32).save_pretrained(path)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        num_labels=num_labels,
    )
    torch.manual_seed(1)
    (BertForSequenceClassification(config) if head else BertModel(config)).save_pretrained(path)
    return path


def tiny_examples(n: int = 24, classes: tuple[str, ...] = ("neg", "pos")) -> TextExamples:
    """Return ``n`` sentences of 1 to 7 words, the label told by the first word's place in the vocabulary."""
    texts = [" ".join(WORDS[(i * 5 + k) % len(WORDS)] for k in range(1 + i % 7)) for i in range(n)]
    labels = [classes[WORDS.index(text.split()[0]) % len(classes)] for text in texts]
    return TextExamples(
        ids=tuple(f"row-{i}" for i in range(1, n + 1)),
        texts=tuple(texts),
        text_pairs=None,
        labels=tuple(labels),
        name="tiny",
    )


def tiny_labels() -> LabelMap:
    """Return the classes of ``tiny_examples``."""
    return LabelMap(("neg", "pos"), "tiny")
