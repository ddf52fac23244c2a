"""What runs are told, under the names of the flags: the fields of ``runs.job.Job``, and the columns of the data.

``runs.job`` imports torch; this can be read without.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gelu_patch.memory import DEFAULT, checked


class ArmOptions(BaseModel):
    """What all arms of an experiment share."""

    where: list[str] | None = Field(None, description="Glob on site paths; may be repeated.")
    memory: str = Field(
        DEFAULT,
        description="What training keeps for backward: balanced (computes activations again, same gradients), speed "
        "(keeps everything) or max (keeps least).",
    )
    task: str = Field(
        "text-classification", description="What the model is asked: text-classification, causal-lm or masked-lm."
    )
    per_device_eval_batch_size: int = Field(
        32, ge=1, description="Examples per forward in evaluation.", json_schema_extra={"flag": "batch_size"}
    )
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the checkpoint.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub model.")

    @field_validator("memory")
    @classmethod
    def _known_memory(cls, value: str) -> str:
        return checked(value)


class Arm(ArmOptions):
    """One arm."""

    activation: str = Field(
        "stock",
        description="gelu_fused (same mathematics, best kernel), the name of an activation such as gelu_tanh or "
        "relu, or stock to leave the model as it is.",
    )


class Columns(BaseModel):
    """Which columns of a file hold what; found by their usual names when not given."""

    model_config = ConfigDict(extra="forbid")

    text_column: str | None = Field(None, description="Column of the texts.")
    text_pair_column: str | None = Field(None, description="Column of the second texts.")
    label_column: str | None = Field(None, description="Column of the labels.")
    id_column: str | None = Field(None, description="Column of the example ids.")
    group_column: str | None = Field(None, description="Column that says which examples belong together.")
