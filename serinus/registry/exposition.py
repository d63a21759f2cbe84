"""What Prometheus is told of an installation's registry and audit log. For programs that have its client library."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serinus import metrics as names
from serinus.access import Access
from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import load_policy, moment
from serinus.registry.store import Registry

log = logging.getLogger(__name__)


def overrides(
    given: Iterable[tuple[str | tuple[str, ...], float]], where: tuple[str, ...] = ()
) -> Iterator[Metric]:
    """Overrides of approvals as metrics.

    Args:
        given: model, or namespace and model, and when (Unix seconds).
        where: labels before the model's.
    """
    times: dict[tuple[str, ...], list[float]] = {}
    for place, at in given:
        times.setdefault((place,) if isinstance(place, str) else place, []).append(at)
    total = CounterMetricFamily(
        names.OVERRIDES, "Approvals that stood for all that were missing.", labels=(*where, "model")
    )
    last = GaugeMetricFamily(
        names.OVERRIDE_LAST, "When the last of them was given.", labels=(*where, "model")
    )
    for at, moments in times.items():
        total.add_metric(at, len(moments))
        last.add_metric(at, max(moments))
    yield from (total, last)


class AuditCollector:
    """What the last verification of the audit log said; nothing before the first."""

    def __init__(self) -> None:
        self.entries: int | None = None
        self.broken: bool | None = None
        self.at = 0.0

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        if self.broken is None:
            return
        broken = GaugeMetricFamily(names.AUDIT_BROKEN, "The audit log's chain is broken.")
        broken.add_metric((), float(self.broken))
        yield broken
        verified = GaugeMetricFamily(names.AUDIT_VERIFIED, "When the audit log was last verified.")
        verified.add_metric((), self.at)
        yield verified
        if self.entries is not None:
            entries = GaugeMetricFamily(names.AUDIT_ENTRIES, "Entries that verified.")
            entries.add_metric((), self.entries)
            yield entries

    def verify(self, audit: AuditLog, now: float) -> None:
        """Verify the whole log; a broken chain is a finding, not an error."""
        try:
            self.entries, _ = audit.verify()
            self.broken = False
        except SerinusError as error:
            log.error("%s", error)
            self.broken = True
        self.at = now


class ReviewCollector:
    """Until when each version in use is to be reviewed. Nothing where the registry or the policy cannot be read."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """One gauge with a series for each version in use."""
        try:
            found = ReviewBook(Registry(self._home), load_policy(self._home)).due()
        except SerinusError as error:
            log.error("%s", error)
            return
        due = GaugeMetricFamily(
            names.REVIEW_DUE, "Until when a version is to be reviewed.", labels=("model", "version")
        )
        for item in found:
            due.add_metric((item.model, str(item.version)), moment(item.due).timestamp())
        yield due


class OverrideCollector:
    """Approvals that stood for all that were missing, as the installation's book has them."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """A counter and the time of the last, for each model that had one."""
        try:
            found = Access(self._home).book.overrides()
        except SerinusError as error:
            log.error("%s", error)
            return
        yield from overrides((given.model, given.at) for given in found)
