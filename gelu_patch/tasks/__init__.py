"""Is the model still good? Examples, predictions and their quality. Imports no transformers."""

from gelu_patch.tasks import causal_lm as causal_lm  # the tasks register themselves
from gelu_patch.tasks import masked_lm as masked_lm
from gelu_patch.tasks import text_classification as text_classification
from gelu_patch.tasks.base import DEFAULT_TASK, LoadedModel, Task, tasks
from gelu_patch.tasks.data import TextExamples, read_examples
from gelu_patch.tasks.evaluate import Evaluation, evaluate_model
from gelu_patch.tasks.labels import LabelMap
from gelu_patch.tasks.metrics import Metric, metrics
from gelu_patch.tasks.weights import weights_sha256

__all__ = [
    "DEFAULT_TASK",
    "Evaluation",
    "LabelMap",
    "LoadedModel",
    "Metric",
    "Task",
    "TextExamples",
    "evaluate_model",
    "metrics",
    "read_examples",
    "tasks",
    "weights_sha256",
]
