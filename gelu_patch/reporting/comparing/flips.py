"""The examples that two arms answer differently, the worst first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gelu_patch.reporting.comparing.fidelity import divergence
from gelu_patch.reporting.schema import Flip
from gelu_patch.reporting.storage.predictions import Predictions

MOST = 50
LONGEST_TEXT = 200


def flips(before: Predictions, after: Predictions, labels: Sequence[str] = ()) -> list[Flip]:
    """Return at most 50 examples with another prediction, by falling KL(baseline || candidate).

    ``labels`` are the names of the classes. Without logits the order is that of the data; a language model has none.
    """
    if before.is_language_model:
        return []
    old, new = before.pred, after.pred
    changed = np.flatnonzero(old != new)
    kl = margins = None
    if before.logits is not None and after.logits is not None:
        kl, margins = divergence(before, after), (before.margin, after.margin)
        changed = changed[np.argsort(-kl[changed], kind="stable")]
    text = before.text or after.text
    return [
        Flip(
            id=before.ids[i],
            text=text[i][:LONGEST_TEXT] if text else None,
            label=_name(int(before.class_labels[i]), labels),
            baseline=_name(int(old[i]), labels),
            candidate=_name(int(new[i]), labels),
            baseline_margin=float(margins[0][i]) if margins else None,
            candidate_margin=float(margins[1][i]) if margins else None,
            kl=float(kl[i]) if kl is not None else None,
        )
        for i in changed[:MOST].tolist()
    ]


def _name(number: int, labels: Sequence[str]) -> str:
    return labels[number] if number < len(labels) else str(number)
