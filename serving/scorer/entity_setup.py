"""The store and the enricher that the flags ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from serinus.contract import Contract
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.features.online import MemoryStore, OnlineStore
from serinus.scoring import Scorer
from serving.scorer.entities import StoreEnricher
from serving.scorer.entity_flags import EntitySettings
from serving.scorer.entity_metrics import EntityMetrics
from serving.scorer.identity import Identity
from serving.scorer.metrics import Metrics
from serving.scorer.subjects import Subjects


def open_store(
    settings: EntitySettings,
    contract: Contract,
    environment: Mapping[str, str],
    report: Callable[[SerinusError], None],
) -> OnlineStore | None:
    """The store that the flags name, filled; None for ``off``. ``report`` is told of a disk that fails later.

    Raises:
        SerinusError: ``SRN-FEATURES-006`` to ``-009``: the URL, the snapshot or the records.
    """
    if settings.store == "off":
        return None
    if settings.store != "memory":
        return open_redis(settings.store, contract, environment, settings.store_timeout)
    store = MemoryStore(contract, settings.features_snapshot, report)
    if settings.features_warm is not None and not len(store.stream):
        from serving.scorer.sources import Source  # reads Parquet, which costs a start without it 0.1 s

        with Source(settings.features_warm, contract) as source:
            source.warm(store)
        store.save()
    return store


def open_redis(url: str, contract: Contract, environment: Mapping[str, str], deadline: float) -> OnlineStore:
    """A store in Redis; connected at its first call. Raises ``SRN-FEATURES-007`` for a wrong URL."""
    from serinus.features.online.link import Link, password_from
    from serinus.features.online.redis import RedisStore

    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise SerinusError(
            "SRN-FEATURES-007",
            f"--store {url.partition(':')[0]} is no store",
            hint="Give memory, off, redis://host:6379/0, rediss://… for TLS or unix:///path/of.sock.",
        )
    return RedisStore(contract, Link(url, password=password_from(environment), deadline=deadline))


def open_enricher(
    settings: EntitySettings,
    store: OnlineStore,
    scorer: Scorer,
    metrics: Metrics,
    identity: Identity,
    *,
    now: Callable[[], float],
    report: Callable[[SerinusError], None],
    subjects: Subjects | None = None,
) -> StoreEnricher:
    """The enricher over that store. Raises ``SRN-FEATURES-010`` if the contract refuses ``missing``."""
    remember = settings.update_on_score == "on" or (
        settings.update_on_score == "auto" and isinstance(store, MemoryStore)
    )
    contract = scorer.contract
    counted = EntityMetrics(metrics, identity, contract.feature_names, tuple(contract.entities))
    if isinstance(store, MemoryStore):
        counted.unkept(lambda: store.unkept)
    return StoreEnricher(
        store,
        scorer.vectorizer,
        counted,
        now=now,
        remember=remember,
        on_failure=settings.on_store_failure,
        ahead=parse_duration(settings.max_ahead),
        report=report,
        subjects=None if subjects is None else subjects.of_records,
    )
