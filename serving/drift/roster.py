"""Which predictors are watched: few, and none that has long been silent. No clock, no I/O."""

from __future__ import annotations

from serving.drift.policy import MAX_PREDICTORS
from serving.drift.report import UNLISTED


class Roster:
    """The predictors that are watched, and when each was last heard of (Unix seconds).

    Args:
        max_age: seconds of silence after which a predictor is forgotten; the champion never is.
    """

    def __init__(self, max_age: float) -> None:
        self._max_age = max_age
        self._seen: dict[str, float] = {}
        self._strangers = 0.0

    def __contains__(self, predictor: str) -> bool:
        return predictor in self._seen

    def mention(self, predictor: str, now: float) -> str:
        """The name under which what became of a payload is counted; takes a new one in where there is room."""
        if predictor not in self._seen and len(self._seen) < MAX_PREDICTORS and predictor != UNLISTED:
            self._seen[predictor] = now
        return predictor if predictor in self._seen else UNLISTED

    def hear(self, predictor: str, now: float, primary: str) -> tuple[str, str | None]:
        """The name under which a predictor is watched, and the longest silent one that made room for it, if one did."""
        gone = None
        if predictor not in self._seen and len(self._seen) >= MAX_PREDICTORS:
            oldest = min((p for p in self._seen if p != primary), key=self._seen.__getitem__)
            if now - self._seen[oldest] < self._max_age:
                self._strangers = now
                return UNLISTED, None
            gone = oldest
            del self._seen[oldest]
        self._seen[predictor] = now
        return predictor, gone

    def go_on(self, predictor: str, since: float) -> None:
        """Takes in a predictor that was watched before a restart."""
        self._seen[predictor] = since

    def silent(self, predictor: str, now: float) -> bool:
        """Whether it has long been silent."""
        last = self._strangers if predictor == UNLISTED else self._seen.get(predictor, now)
        return now - last >= self._max_age

    def part_with(self, now: float, primary: str) -> list[str]:
        """Forgets the predictors that are gone, all but the champion, and names them."""
        gone = [predictor for predictor in self._seen if predictor != primary and self.silent(predictor, now)]
        for predictor in gone:
            del self._seen[predictor]
        return gone
