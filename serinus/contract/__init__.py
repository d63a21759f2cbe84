"""The data contract of a model: one definition that every program reads."""

from serinus.contract.load import dump_contract, load_contract, parse_contract
from serinus.contract.types import (
    Column,
    Contract,
    Decision,
    Entity,
    Event,
    Fairness,
    FairnessMeasure,
    Feature,
    Label,
    Protected,
)

__all__ = [
    "Column",
    "Contract",
    "Decision",
    "Entity",
    "Event",
    "Fairness",
    "FairnessMeasure",
    "Feature",
    "Label",
    "Protected",
    "dump_contract",
    "load_contract",
    "parse_contract",
]
