"""What the dashboards show. The queries are run against a real Prometheus in tests/local/watch."""

from __future__ import annotations

from serving.watch.boards.drift import DRIFT
from serving.watch.boards.risk import RISK
from serving.watch.boards.rollout import ROLLOUT
from serving.watch.boards.service import SERVICE

BOARDS = (SERVICE, ROLLOUT, DRIFT, RISK)

__all__ = ["BOARDS", "DRIFT", "RISK", "ROLLOUT", "SERVICE"]
