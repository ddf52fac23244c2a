"""Makers of time series, trajectories and other inputs that are neither text nor image nor sound."""

from __future__ import annotations

from typing import Any

import torch

from .context import Context
from .text import Alternatives


def _past(context: Context) -> int:
    lags = context.find("lags_sequence", default=[0])
    return context.number("context_length", default=32) + max(lags)


def past_values(context: Context) -> Alternatives:
    """(batch, time) for one channel, (batch, time, channels) for several."""
    width = context.number("num_input_channels", "input_size", default=1)
    time = _past(context)
    many = context.normal(context.batch, time, width)
    return [many, many[..., 0]] if width > 1 or hasattr(context.config, "num_input_channels") else [many[..., 0], many]


def observed(context: Context) -> Alternatives:
    """Every value was observed."""
    return [torch.ones_like(values) for values in past_values(context)]


def time_features(length: str) -> Any:
    """Return a maker of covariates of the past or the future."""

    def make(context: Context) -> Alternatives:
        time = _past(context) if length == "past" else context.number("prediction_length", default=24)
        return [context.normal(context.batch, time, context.number("num_time_features", default=0))]

    return make


def future_values(context: Context) -> Alternatives:
    """What training compares with."""
    return [context.normal(context.batch, context.number("prediction_length", default=24))]


def inputs(context: Context) -> Alternatives:
    """Perceiver's one input for everything: tokens, images or features."""
    width = context.number("d_model", default=32)
    image = context.normal(context.batch, 3, 224, 224)
    return [context.tokens(context.batch, context.length), image, context.normal(context.batch, context.length, width)]


def per_step(*names: str, default: int) -> Any:
    """Return a maker of one vector for each time step of a trajectory."""
    return lambda context: [context.normal(context.batch, context.length, context.number(*names, default=default))]


def actions(context: Context) -> Alternatives:
    """One action for each step, or for each step of a chunk."""
    steps = context.number("chunk_size", default=context.length)
    return [context.normal(context.batch, steps, context.number("max_action_dim", "act_dim", default=4))]


MAKERS = {
    "past_values": past_values,
    "past_observed_mask": observed,
    "past_time_features": time_features("past"),
    "future_time_features": time_features("future"),
    "future_values": future_values,
    "past_values_padding": lambda context: [torch.zeros(context.batch, _past(context))],
    "freq": lambda context: [torch.zeros(context.batch, 1, dtype=torch.long)],
    "inputs": inputs,
    "states": per_step("state_dim", default=17),
    "actions": actions,
    "rewards": per_step(default=1),
    "returns_to_go": per_step(default=1),
    "state": lambda context: [context.normal(context.batch, context.number("max_state_dim", default=32))],
    "timesteps": lambda context: [torch.arange(context.length).repeat(context.batch, 1)],
    "codebook_idx": lambda context: [1],
    "task_inputs": lambda context: [context.integers(0, 50, context.batch, context.number("task_seq_len", default=77))],
}
