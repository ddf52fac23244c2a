"""Fine-tune a GPT-2 whole and with LoRA, each stock and patched, and read the verdicts.

python examples/small_gpt2.py CORPUS ...                     # says how to make a trained GPT-2 where none can be loaded
python examples/finetune_gpt2.py --max_train_steps 30 --max_eval_samples 2    # a quick look: two minutes on two cores
python examples/finetune_gpt2.py --model_name_or_path gpt2 --train_file train.jsonl --validation_file dev.jsonl

Here every arm is a run folder, as `gelu-patch train` writes them: with the training log, checkpoints and the model.
Stop it when you like: the same command goes on from the last checkpoint, and finished arms are not trained again.
"""

import argparse
from pathlib import Path

from rich.console import Console

import gelu_patch as gp
from gelu_patch.reporting.storage.run_folder import RunFolder
from gelu_patch.runs.progress import ConsoleProgress
from gelu_patch.runs.train import TrainingJob, train_run
from gelu_patch.tasks import read_examples
from gelu_patch.training.settings import Checkpointing, Lora

HOME = Path("runs/small-gpt2")


def options() -> argparse.Namespace:
    """Read the flags, which have the names of the Hugging Face examples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name_or_path", default=HOME / "trained" / "model")
    parser.add_argument("--train_file", type=Path, default=HOME / "train.jsonl")
    parser.add_argument("--validation_file", type=Path, default=HOME / "test.jsonl")
    parser.add_argument("--activation", default="gelu_fused", help="or relu, silu, gelu_quick, ...")
    parser.add_argument("--max_train_steps", type=int, default=200)
    parser.add_argument("--max_eval_samples", type=int, help="held-out documents; default: all")
    parser.add_argument("--block_size", type=int, default=128)
    parser.add_argument("--lora_r", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/finetune-gpt2"))
    return parser.parse_args()


def fine_tuned(job: TrainingJob, folder: Path) -> RunFolder:
    """Return the finished run in ``folder``; train what is missing of it."""
    run = RunFolder(folder)
    if run.has_report:
        print(f"{folder}: finished before")
        return run
    progress = ConsoleProgress(Console(stderr=True))
    return train_run(job, folder, checkpointing=Checkpointing(checkpointing_steps="50"), progress=progress)


def main() -> None:
    """Train four arms and compare them two by two."""
    given = options()
    train = read_examples(given.train_file, labelled=False)
    held_out = read_examples(given.validation_file, labelled=False).first(given.max_eval_samples)
    # All weights, or adapters beside the attention of a frozen model: these need a higher rate.
    ways = {"full": (Lora(), 3e-4), "lora": (Lora(lora_r=given.lora_r), 2e-3)}
    for way, (lora, learning_rate) in ways.items():
        recipe = gp.Recipe(
            learning_rate=learning_rate,
            max_train_steps=given.max_train_steps,
            num_warmup_steps=given.max_train_steps // 10,
            seed=given.seed,
        )
        before, after = (
            fine_tuned(
                TrainingJob(
                    model_name_or_path=str(given.model_name_or_path),
                    task="causal-lm",
                    train=train,
                    validation=held_out,
                    validate_each_epoch=False,
                    recipe=recipe,
                    lora=lora,
                    activation=activation,
                    max_length=given.block_size,
                ),
                given.output_dir / f"{way}-{activation}",
            )
            for activation in ("stock", given.activation)
        )
        comparison = gp.compare(before, after, title=f"{way}: stock → {given.activation}")
        comparison.save(given.output_dir / f"{way}-comparison", overwrite=True)
        print(comparison)
        print(f"verdict on {way} fine-tuning with {given.activation}: {comparison.verdict}\n")


if __name__ == "__main__":
    main()
