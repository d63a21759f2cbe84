"""Which versions exist, who owns and approved them, and where each stands."""

from serinus.registry.policy import Approval, Stage
from serinus.registry.records import Data, Lineage, Turn, Version
from serinus.registry.store import Registry

__all__ = ["Approval", "Data", "Lineage", "Registry", "Stage", "Turn", "Version"]
