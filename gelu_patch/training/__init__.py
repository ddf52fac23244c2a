"""Can the model recover? Fine-tuning with Accelerate, the same data order and dropout in every arm."""

from gelu_patch.training.log import StepRecord, TrainingLog, read_log
from gelu_patch.training.loop import TrainingData, finetune
from gelu_patch.training.recipe import Recipe

__all__ = ["Recipe", "StepRecord", "TrainingData", "TrainingLog", "finetune", "read_log"]
