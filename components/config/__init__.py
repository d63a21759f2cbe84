"""How a model is trained and what it must reach: ``model.yaml``, strict, every key optional.

The data contract says what the data mean; this says what to make of them. A contract
alone suffices: every key here has a default that fits any tabular data set.
"""

from __future__ import annotations

from components.config.challenge import (
    DEFAULT_GATES,
    Challenge,
    Champion,
    Exposure,
    Gate,
    Gates,
    Latency,
    Migration,
    Retrained,
    Scenario,
    Scorecard,
    Splitting,
)
from components.config.model import Identity, ModelConfig, load_config, parse_config
from components.config.training import Algorithm, Boosting, Forest, Lightgbm, Logistic, Split, Training

__all__ = [
    "DEFAULT_GATES",
    "Algorithm",
    "Boosting",
    "Challenge",
    "Champion",
    "Exposure",
    "Forest",
    "Gate",
    "Gates",
    "Identity",
    "Latency",
    "Lightgbm",
    "Logistic",
    "Migration",
    "ModelConfig",
    "Retrained",
    "Scenario",
    "Scorecard",
    "Split",
    "Splitting",
    "Training",
    "load_config",
    "parse_config",
]
