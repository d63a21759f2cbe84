"""Who answers: the names that every answer, metric and event carries."""

from __future__ import annotations

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Names of one scorer process.

    ``predictor`` tells champion from canary; ``deployment`` and ``namespace``
    appear only in payload events, as Seldon's executor sets them.
    """

    model: str
    version: int
    digest: str
    predictor: str
    deployment: str = ""
    namespace: str = ""

    @property
    def tags(self) -> dict[str, str | int]:
        """What an answer says of its maker."""
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "predictor": self.predictor,
        }
