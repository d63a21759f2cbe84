"""Is the model worse than at validation? Evidence from labels, batch by batch, kept over restarts."""

from __future__ import annotations

import msgspec

from serinus.watching.concept import Concept, ConceptEvidence, ConceptReport
from serving.outcomes.store import Store


class Kept(msgspec.Struct, frozen=True):
    """What survives a restart. Decisions before ``until`` (Unix seconds) have been counted."""

    until: float
    evidence: ConceptEvidence


class ConceptWatch:
    """The evidence of one version behind each predictor.

    A batch holds all decisions of a stretch of time whose labels are due, however
    they turned out: frauds that are reported early must not be counted first.

    Args:
        version: the one whose validation is the yardstick; others are not judged.
        batch: seconds of decisions that make a batch.
    """

    def __init__(self, store: Store, concept: Concept, version: int, batch: float) -> None:
        self._store = store
        self._concept = concept
        self._version = version
        self._batch = batch

    def look(self, predictor: str, due: float) -> ConceptReport | None:
        """Count each whole batch up to ``due``; None while the version has not decided anything."""
        name = f"concept/{predictor}/{self._version}"
        raw = self._store.recall(name)
        if raw is not None:
            kept = msgspec.json.decode(raw, type=Kept)
        else:
            first = self._store.first(predictor, self._version)
            if first is None:
                return None
            kept = Kept(first, self._concept.start())
        changed = raw is None
        while kept.until + self._batch <= due:
            until = kept.until + self._batch
            rows = self._store.between(predictor, self._version, kept.until, until)
            kept = Kept(until, self._concept.update(kept.evidence, *rows))
            changed = True
        if changed:
            self._store.remember(name, msgspec.json.encode(kept))
        return self._concept.judge(kept.evidence)
