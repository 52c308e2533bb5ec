"""Figures of hosted language models that the presets are made of, each with its source. See `docs/experiments.md`."""

from __future__ import annotations

import itertools

from ..makers import made_by
from .distributions import Constant, Empirical, LogNormal

PACE = Constant(0.012)
"""Seconds from one token to the next: 83 tokens a second; 70 to 85 are published
(https://aistackwatch.com/en/wiki/latency)."""

CHAT_FIRST_BYTE = LogNormal(0.25, 0.63)
"""Seconds to the first byte of a hosted chat model, with a 95th percentile of 0.70 s, as published for GPT-4o
(https://deploybase.ai/articles/llm-api-latency-comparison-time-to-first-token; not verified)."""


def _through(name: str, *knots: tuple[float, float]) -> Empirical:
    """A thousand values along the straight lines between (share, quantile) knots, known by a name of this module."""
    values: list[float] = []
    for (left, low), (right, high) in itertools.pairwise(knots):
        steps = round(1000 * (right - left))
        values += [low + (high - low) * (step + 0.5) / steps for step in range(steps)]
    return made_by(Empirical(values), __name__, name)


# Quantiles of tokens in the Azure LLM inference traces 2023 (AzurePublicDataset, CC-BY 4.0): conversations, then code.
# The last percent of an input is taken as its 99th percentile: a single one of three times that moves no experiment.
CHAT_INPUT = _through(
    "CHAT_INPUT", (0, 2), (0.25, 396), (0.5, 1020), (0.75, 1189), (0.9, 2735), (0.99, 4142), (1, 4142)
)
CHAT_OUTPUT = _through(
    "CHAT_OUTPUT", (0, 7), (0.25, 85), (0.5, 129), (0.65, 217), (0.75, 395), (0.9, 424), (0.99, 601), (1, 1000)
)
AGENT_INPUT = _through("AGENT_INPUT", (0, 0), (0.5, 1469), (0.9, 5194), (0.99, 7436), (1, 7436))
