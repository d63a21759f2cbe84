"""Which versions exist, who owns and approved them, and where each stands."""

from serinus.registry.policy import Approval, Stage
from serinus.registry.store import Registry, Version

__all__ = ["Approval", "Registry", "Stage", "Version"]
