"""Tiny random models with their tokenizers, sentences and documents: enough to run everything, too small to learn.

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


def save_tiny_gpt2(path: Path, *, positions: int = 32) -> Path:
    """Write a decoder of 2 layers and 32 channels whose tokenizer has one token per word and no limit of its own."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    path.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: i for i, word in enumerate(("<end>", "<unknown>", *WORDS))}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unknown>"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unknown>", eos_token="<end>").save_pretrained(path)
    config = GPT2Config(
        vocab_size=len(vocabulary),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=positions,
        bos_token_id=0,
        eos_token_id=0,
        resid_pdrop=0.1,
        initializer_range=0.3,
    )
    torch.manual_seed(1)
    GPT2LMHeadModel(config).save_pretrained(path)
    return path


def save_tiny_masked_bert(path: Path) -> Path:
    """Write the encoder of ``save_tiny_bert`` with a head that fills in hidden tokens."""
    from transformers import BertConfig, BertForMaskedLM

    save_tiny_bert(path)
    config = BertConfig.from_pretrained(path)
    config.initializer_range = 0.3
    torch.manual_seed(1)
    BertForMaskedLM(config).save_pretrained(path)
    return path


def save_tiny(path: Path, task: str) -> Path:
    """Write a checkpoint that can do a task."""
    savers = {"causal-lm": save_tiny_gpt2, "masked-lm": save_tiny_masked_bert}
    return savers.get(task, save_tiny_bert)(path)


def tiny_documents(n: int = 12, longest: int = 70) -> TextExamples:
    """Return ``n`` documents of 2 to ``longest`` words, without labels."""
    lengths = [2 + (i * 29) % (longest - 1) for i in range(n)]
    texts = [" ".join(WORDS[(i * 7 + k * k + k // 3) % len(WORDS)] for k in range(m)) for i, m in enumerate(lengths)]
    ids = tuple(f"doc-{i}" for i in range(n))
    return TextExamples(ids=ids, texts=tuple(texts), text_pairs=None, labels=None, name="tiny documents")


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
