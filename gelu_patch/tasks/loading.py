"""Loading a checkpoint from a directory or the Hub, with errors that say what is missing and what to type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gelu_patch.environment import is_offline
from gelu_patch.errors import GeluPatchError, ModelNotFound, UnsupportedModel, UsageError

WEIGHT_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
)


def resolve_checkpoint(name_or_path: str | Path) -> str:
    """Return a local directory that holds a whole checkpoint, or the Hub id as it is.

    Raises ModelNotFound when it is a path with nothing, or not all, of a checkpoint.
    """
    path = Path(name_or_path).expanduser()
    if not path.exists():
        if _looks_like_a_path(str(name_or_path)):
            raise ModelNotFound(
                f"there is no model at {path}",
                why="no such directory",
                next_step="give a directory written by save_pretrained, or a Hub id such as org/name",
            )
        return str(name_or_path)
    if not path.is_dir():
        raise ModelNotFound(
            f"{path} is a file", why="a model is a directory", next_step=f"try the directory {path.parent}"
        )
    if not (path / "config.json").is_file():
        nested = [str(entry.parent) for entry in sorted(path.glob("*/config.json"))]
        raise ModelNotFound(
            f"{path} holds no model",
            why="it has no config.json",
            next_step=f"try {nested[0]}" if nested else "give a directory written by save_pretrained",
        )
    if not any(next(path.glob(pattern), None) for pattern in WEIGHT_FILES):
        raise ModelNotFound(
            f"{path} holds no weights",
            why="it has a config.json but no model.safetensors or pytorch_model.bin",
            next_step="copy the weights there, or save the model again with save_pretrained",
        )
    return str(path)


def _looks_like_a_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.count("/") > 1


def load_config(checkpoint: str, *, trust_remote_code: bool = False, revision: str | None = None) -> Any:
    """Return the Transformers configuration. It is the smallest file, so a bad name fails here, quickly."""
    from transformers import AutoConfig

    with explained(checkpoint), quiet_transformers():
        return AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code, revision=revision)


def load_tokenizer(checkpoint: str, *, trust_remote_code: bool = False, revision: str | None = None) -> Any:
    """Return the tokenizer; one without a padding token pads with its end-of-text token.

    Raises ModelNotFound when there is none.
    """
    from transformers import AutoTokenizer

    with explained(checkpoint, part="tokenizer"), quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=trust_remote_code, revision=revision)
    # Without files Transformers makes a tokenizer that knows no word, and every text becomes unknown tokens.
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ModelNotFound(
            f"there is no tokenizer in {checkpoint}",
            why="it has no tokenizer.json, vocabulary or the like",
            next_step="save the tokenizer there too: tokenizer.save_pretrained(...)",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise UnsupportedModel(
            f"the tokenizer of {checkpoint} cannot pad",
            why="it has neither a padding token nor an end-of-text token",
            next_step='set tokenizer.pad_token = "..." and save the tokenizer again',
        )
    return tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence Transformers' load report and progress bars; ours are one note each."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def explained(checkpoint: str, part: str = "model") -> Iterator[None]:
    """Turn what Transformers raises while loading a part of ``checkpoint`` into our errors."""
    try:
        yield
    except GeluPatchError:
        raise
    # Loading fails in many ways: OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError, ...
    except Exception as error:
        raise _explain(checkpoint, part, error) from error


def _explain(checkpoint: str, part: str, error: Exception) -> GeluPatchError:
    message = str(error)
    if "trust_remote_code" in message:
        return UnsupportedModel(
            f"{checkpoint} comes with its own Python code",
            why="running code from a checkpoint is off unless you ask for it",
            next_step="read that code; if you trust it, add --trust_remote_code",
        )
    if "ignore_mismatched_sizes" in message:
        return UsageError(
            f"{checkpoint} has a head of another size",
            why="its number of classes is not that of the data, or a weight is damaged",
            next_step="to put a new head in its place, add --ignore_mismatched_sizes",
        )
    first_line = next((line for line in message.splitlines() if line.strip()), type(error).__name__)
    if Path(checkpoint).is_dir():
        return ModelNotFound(
            f"cannot load the {part} in {checkpoint}",
            why=f"{type(error).__name__}: {first_line}",
            next_step="a file is missing or damaged: save or download this checkpoint again",
        )
    return _explain_hub(checkpoint, part, error, first_line)


def _explain_hub(checkpoint: str, part: str, error: Exception, first_line: str) -> ModelNotFound:
    if is_offline():
        why = "HF_HUB_OFFLINE (or its like) is set, and it is not in the local cache"
        next_step = "give a local directory, or unset HF_HUB_OFFLINE where there is a network"
    elif _unreachable(error):
        why = "it is not in the local cache, and the Hub cannot be reached"
        next_step = "give a local directory, or run this where there is a network"
    else:
        why = f"{type(error).__name__}: {first_line}"
        next_step = "check the name and --revision; for a private or gated model: huggingface-cli login"
    return ModelNotFound(f"cannot load the {part} of {checkpoint} from the Hub", why=why, next_step=next_step)


def _unreachable(error: BaseException | None) -> bool:
    """Tell whether a failure to reach the network is among the causes of ``error``."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while error is not None:
        if isinstance(error, LocalEntryNotFoundError | ConnectionError):
            return True
        error = error.__cause__ or error.__context__
    return False
