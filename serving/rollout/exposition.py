"""A rollout's status as Prometheus metrics: for the engine's page, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serinus import metrics as names
from serinus.registry.exposition import overrides

from .status import Phase, RolloutStatus

RESULTS = {
    Phase.PROMOTED: "promoted",
    Phase.ROLLED_BACK: "rolled_back",
    Phase.ABORTED: "aborted",
    Phase.FAILED: "failed",
}


class RolloutCollector:
    """The latest rollout of each model, and how many ended as what.

    Args:
        statuses: the rollouts to show, at most one of a model.
        ended: (model, result) → rollouts that ended so, as far back as is known.
        namespaced: rollouts are ``namespace/id``, and models in ``ended`` ``namespace/model``: the namespace becomes a
            label, as the scorers' series have it.

    An ended rollout stays shown: that it was rolled back must be seen by a scrape
    that comes later.
    """

    def __init__(
        self,
        statuses: Callable[[], Sequence[RolloutStatus]],
        ended: Callable[[], Mapping[tuple[str, str], int]],
        *,
        namespaced: bool = False,
    ) -> None:
        self._statuses = statuses
        self._ended = ended
        self._namespaced = namespaced

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        where = ("namespace",) if self._namespaced else ()
        labels = (*where, "model", "rollout")
        phase = GaugeMetricFamily(names.ROLLOUT_PHASE, "Where a rollout stands.", labels=(*labels, "phase"))
        since = GaugeMetricFamily(names.ROLLOUT_PHASE_SINCE, "Since when.", labels=labels)
        weight = GaugeMetricFamily(
            names.ROLLOUT_WEIGHT, "Share of live traffic as decided.", labels=(*labels, "predictor", "role")
        )
        evidence = GaugeMetricFamily(names.ROLLOUT_EVIDENCE, "Evidence of harm.", labels=(*labels, "guard"))
        threshold = GaugeMetricFamily(names.ROLLOUT_THRESHOLD, "At or above it: rollback.", labels=labels)
        requests = GaugeMetricFamily(
            names.ROLLOUT_REQUESTS, "Requests since the rollout began.", labels=(*labels, "role", "answer")
        )
        look = GaugeMetricFamily(names.ROLLOUT_LAST_LOOK, "When the engine last looked.", labels=labels)
        data = GaugeMetricFamily(names.ROLLOUT_LAST_DATA, "When the evidence last had data.", labels=labels)
        for status in self._statuses():
            at = (*self._place(status), status.id)
            phase.add_metric((*at, status.phase.value), 1)
            since.add_metric(at, status.phase_since)
            weight.add_metric((*at, status.candidate, "candidate"), status.weight / 100)
            weight.add_metric((*at, status.champion, "champion"), 1 - status.weight / 100)
            look.add_metric(at, status.last_seen)
            data.add_metric(at, status.last_data)
            for role, tally in (("candidate", status.canary_tally), ("champion", status.stable_tally)):
                requests.add_metric((*at, role, "bad"), tally.bad)
                requests.add_metric((*at, role, "good"), tally.requests - tally.bad)
            if status.verdict is not None:
                evidence.add_metric((*at, "all"), status.verdict.log10_e)
                threshold.add_metric(at, status.verdict.threshold_log10)
                for guard in status.verdict.guards:
                    evidence.add_metric((*at, guard.guard), guard.log10_e)
        total = CounterMetricFamily(
            names.ROLLOUTS_ENDED, "Rollouts that ended.", labels=(*where, "model", "result")
        )
        ended = dict(self._ended())
        # Each result stands from a model's first rollout on, so that a first increase is seen.
        models = {model for model, _ in ended} | {"/".join(self._place(s)) for s in self._statuses()}
        for model in models:
            for result in RESULTS.values():
                place = tuple(model.split("/", 1)) if self._namespaced else (model,)
                total.add_metric((*place, result), ended.get((model, result), 0))
        yield from (phase, since, weight, evidence, threshold, requests, look, data, total)
        if self._namespaced:
            # On one machine the access policy's own book tells of them.
            yield from overrides(
                (
                    (self._place(status), entry.at)
                    for status in self._statuses()
                    for entry in status.history
                    if entry.reason == "ApprovalOverridden"
                ),
                where,
            )

    def _place(self, status: RolloutStatus) -> tuple[str, ...]:
        """Namespace, where there are any, and model."""
        return (status.id.partition("/")[0], status.model) if self._namespaced else (status.model,)
