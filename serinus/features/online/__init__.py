"""The online store: entities' histories where requests find them and the stream keeps them.

``port`` says what a store does, ``assemble`` makes features of what it holds,
``memory`` keeps it in this process and ``redis`` where several replicas share it.
"""

from serinus.features.online.assemble import Enriched, assemble, remembered
from serinus.features.online.memory import MemoryStore
from serinus.features.online.port import KnownLabel, Look, OnlineStore

__all__ = [
    "Enriched",
    "KnownLabel",
    "Look",
    "MemoryStore",
    "OnlineStore",
    "assemble",
    "remembered",
]
