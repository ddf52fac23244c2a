"""What of a comparison to show."""

from __future__ import annotations

from gelu_patch.reporting.schema import Comparison


def changed_only(comparison: Comparison) -> Comparison:
    """Return the comparison without what is the same in both arms: equal metrics, latency and memory that are SAME.

    What is open or broken stays, changed or not.
    """
    return comparison.model_copy(
        update={
            "results": [
                result
                for result in comparison.results
                if result.diff != 0 or (result.gated and result.state in ("INCONCLUSIVE", "INFERIOR"))
            ],
            "latency": [result for result in comparison.latency if result.state != "SAME"],
            "memory": [result for result in comparison.memory if result.state != "SAME"],
        }
    )
