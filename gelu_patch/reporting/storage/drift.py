"""What every layer of a model said about a few examples: from it two arms are compared depth by depth.

``drift.parquet`` has one row per arm, layer and example, so that ``compare`` needs no model and no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gelu_patch.errors import DataError, DataNotFound
from gelu_patch.reporting.storage.files import write_with
from gelu_patch.reporting.storage.prediction_table import write_table

Layers = list[npt.NDArray[np.float32]]

OWN, NOISE = "own", "noise"


@dataclass(frozen=True)
class Drift:
    """The mean over the tokens of each example's hidden state, layer by layer, the embeddings first.

    ``own`` and ``noise`` have one array ``(examples, hidden)`` per layer: of the run itself, and of the same model at
    another batch size and thread count (None where that was not run).
    """

    ids: list[str]
    own: Layers
    noise: Layers | None = None

    def save(self, path: Path) -> Path:
        """Write ``drift.parquet`` atomically."""
        arms = {OWN: self.own, NOISE: self.noise or []}
        rows = [
            (arm, layer, key, vector)
            for arm, layers in arms.items()
            for layer, vectors in enumerate(layers)
            for key, vector in zip(self.ids, vectors, strict=True)
        ]
        arm, layer, key, vector = zip(*rows, strict=True)
        columns = {
            "arm": pa.array(arm, pa.string()),
            "layer": pa.array(layer, pa.int32()),
            "id": pa.array(key, pa.string()),
            "vector": pa.array(vector, pa.list_(pa.float32())),
        }
        return write_with(path, lambda temporary: write_table(pa.table(columns), temporary))

    @classmethod
    def load(cls, path: Path) -> Drift:
        """Read ``drift.parquet``. Raises DataNotFound when it is absent, DataError when it is damaged."""
        if not path.is_file():
            raise DataNotFound(f"there are no hidden states at {path}", next_step="evaluate this run again")
        try:
            table = pq.read_table(path, columns=["arm", "layer", "id", "vector"])
            rows = list(zip(*(table[name].to_pylist() for name in ("arm", "layer", "id")), strict=True))
            vectors = table["vector"].to_numpy()
            ids = [key for arm, layer, key in rows if (arm, layer) == (OWN, 0)]
            own, noise = (_layers(rows, vectors, arm, ids) for arm in (OWN, NOISE))
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"cannot read {path}", why=str(error), next_step="evaluate this run again: the file is damaged"
            ) from error
        return cls(ids, own, noise or None)


def _layers(rows: list[tuple[str, int, str]], vectors: npt.NDArray[np.object_], arm: str, ids: list[str]) -> Layers:
    """Return the vectors of one arm by layer. Raises ValueError when one is missing, not finite or of another size."""
    found: dict[int, dict[str, npt.NDArray[np.float32]]] = {}
    for (its_arm, layer, key), vector in zip(rows, vectors, strict=True):
        if its_arm == arm:
            found.setdefault(layer, {})[key] = vector
    if sorted(found) != list(range(len(found))) or any(list(each) != ids for each in found.values()):
        raise ValueError("a layer or an example is missing")
    layers = [np.stack(list(found[layer].values())).astype(np.float32) for layer in range(len(found))]
    if not all(np.isfinite(each).all() for each in layers) or (arm == OWN and not layers):
        raise ValueError("a hidden state is missing, NaN or infinite")
    return layers
