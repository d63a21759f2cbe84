"""What the terminal shows, worked out from samples. Pure; what is not known is None, never 0."""

from __future__ import annotations

from collections.abc import Sequence

from serinus import metrics as names
from serving.watch.terminal.frame import Alert, Audit, Drift, Feature, Labels, Measure, Rollout, Service, View
from serving.watch.terminal.samples import Samples, increase, quantile

SLOW = 0.1
"""Seconds from which an answer is slow: the recording rules' limit."""
ALERTS = "ALERTS"
COVERAGE = "model:serinus_drift_coverage:ratio_rate10m"


def view(
    now: Samples,
    before: Samples | None,
    *,
    source: str,
    model: str | None = None,
    alerts: bool = False,
    problems: Sequence[str] = (),
) -> View:
    """The frame of these samples.

    Args:
        before: earlier samples, for rates.
        model: only this one.
        alerts: whether rules are evaluated where the samples come from.
        problems: what could not be read.
    """
    every = now.values("model", names.INFO)
    every = sorted({*every, *now.values("model", names.REQUESTS), *now.values("model", names.ROLLOUT_PHASE)})
    models = tuple(name for name in every if model in (None, name))
    # Hundreds of models: each looks through its own series only.
    of, then = now.parted("model"), {} if before is None else before.parted("model")
    return View(
        at=now.at,
        source=source,
        over=None if before is None else now.at - before.at,
        models=models,
        services=tuple(s for name in models for s in _services(of[name], then.get(name, before), name)),
        rollouts=tuple(r for name in models for r in _rollouts(of[name], name)),
        drift=tuple(d for name in models for d in _drift(of[name], name)),
        labels=tuple(found for name in models for found in _labels(of[name], name)),
        audit=_audit(now),
        alerts=_alerts(now, models) if alerts else None,
        problems=tuple(problems),
    )


def _services(now: Samples, before: Samples | None, model: str) -> list[Service]:
    seconds = 0.0 if before is None else now.at - before.at
    requests = increase(now, before, names.REQUESTS, ("predictor", "code"), model=model)
    buckets = increase(now, before, f"{names.LATENCY}_bucket", ("predictor", "le"), model=model)
    shed = increase(now, before, names.SHED, ("predictor",), model=model)
    decided = increase(now, before, names.DECISIONS, ("predictor", "decision"), model=model)
    found: list[Service] = []
    for predictor in sorted(
        {
            *now.values("predictor", names.INFO, model=model),
            *now.values("predictor", names.REQUESTS, model=model),
        }
    ):
        codes = {k[1]: n for k, n in (requests or {}).items() if k[0] == predictor}
        total = sum(codes.values())
        edges = {float(k[1]): n for k, n in (buckets or {}).items() if k[0] == predictor}
        answered = edges.get(float("inf"), 0.0)
        of_decisions = {k[1]: n for k, n in (decided or {}).items() if k[0] == predictor}
        all_decisions = sum(of_decisions.values())
        versions = now.values("version", names.INFO, model=model, predictor=predictor)
        found.append(
            Service(
                model=model,
                predictor=predictor,
                version=", ".join(versions),
                rate=total / seconds if codes and seconds > 0 else None,
                errors=sum(n for code, n in codes.items() if code.startswith("5")) / total if total else None,
                p50=quantile(0.5, edges),
                p95=quantile(0.95, edges),
                p99=quantile(0.99, edges),
                slow=1 - edges[SLOW] / answered if answered and SLOW in edges else None,
                shed=shed.get((predictor,), 0.0) / seconds if shed is not None and seconds > 0 else None,
                in_flight=_sum(now, names.IN_FLIGHT, model, predictor),
                behind=_sum(now, names.LOG_PENDING, model, predictor),
                decisions={d: n / all_decisions for d, n in of_decisions.items()} if all_decisions else None,
            )
        )
    return found


def _sum(now: Samples, name: str, model: str, predictor: str) -> float | None:
    values = [s.value for s in now.of(name, model=model, predictor=predictor)]
    return sum(values) if values else None


def _rollouts(now: Samples, model: str) -> list[Rollout]:
    found: list[Rollout] = []
    for phase in now.of(names.ROLLOUT_PHASE, model=model):
        if phase.value != 1:
            continue
        name = phase.labels.get("rollout", "")
        of = {"model": model, "rollout": name}
        guards = {s.labels.get("guard", ""): s.value for s in now.of(names.ROLLOUT_EVIDENCE, **of)}
        together = guards.pop("all", None)
        weights = {s.labels.get("role", ""): s.value for s in now.of(names.ROLLOUT_WEIGHT, **of)}
        candidates = now.values("predictor", names.ROLLOUT_WEIGHT, **of, role="candidate")
        requests = {
            f"{s.labels.get('role', '')} {s.labels.get('answer', '')}": s.value
            for s in now.of(names.ROLLOUT_REQUESTS, **of)
        }
        found.append(
            Rollout(
                model=model,
                name=name,
                phase=phase.labels.get("phase", ""),
                since=_age(now, names.ROLLOUT_PHASE_SINCE, **of),
                weights=weights,
                candidate=", ".join(candidates),
                evidence=together,
                threshold=now.one(names.ROLLOUT_THRESHOLD, **of),
                guards=tuple(sorted(guards.items(), key=lambda guard: (-guard[1], guard[0]))),
                requests=requests,
                looked=_age(now, names.ROLLOUT_LAST_LOOK, **of),
                had_data=_age(now, names.ROLLOUT_LAST_DATA, **of),
            )
        )
    return found


def _drift(now: Samples, model: str) -> list[Drift]:
    kept = (names.DRIFT_ACTIVE, names.DATA_QUALITY, names.DRIFT_EVIDENCE, names.DRIFT_PSI)
    found: list[Drift] = []
    for predictor in sorted({p for name in kept for p in now.values("predictor", name, model=model)}):
        of = {"model": model, "predictor": predictor}
        threshold = now.one(names.DRIFT_THRESHOLD, **of)
        shown = (names.DRIFT_EVIDENCE, names.DRIFT_PSI, names.DRIFT_P_VALUE, names.FEATURE_MISSING)
        features = [
            Feature(
                name=feature,
                evidence=now.one(names.DRIFT_EVIDENCE, **of, feature=feature),
                threshold=threshold,
                psi=now.one(names.DRIFT_PSI, **of, feature=feature),
                psi_limit=now.one(names.DRIFT_PSI_LIMIT, **of, feature=feature),
                p_value=now.one(names.DRIFT_P_VALUE, **of, feature=feature),
                missing=now.one(names.FEATURE_MISSING, **of, feature=feature),
            )
            for feature in sorted({f for name in shown for f in now.values("feature", name, **of)})
        ]
        active = [s.labels.get("kind", "") for s in now.of(names.DRIFT_ACTIVE, **of) if s.value == 1]
        found.append(
            Drift(
                model=model,
                predictor=predictor,
                active=tuple(sorted(active)),
                features=tuple(sorted(features, key=lambda f: (not f.drifts, -f.height, f.name))),
                quality=now.one(names.DATA_QUALITY, **of),
                bad=now.one(names.DATA_QUALITY_BAD, **of) == 1,
                judged=_age(now, names.DRIFT_LAST_EVALUATION, **of),
                coverage=now.one(COVERAGE, model=model),
            )
        )
    return found


def _labels(now: Samples, model: str) -> list[Labels]:
    kept = (names.REALISED, names.LABEL_COVERAGE, names.CONCEPT_WORSE, names.ESTIMATED)
    found: list[Labels] = []
    for predictor in sorted({p for name in kept for p in now.values("predictor", name, model=model)}):
        of = {"model": model, "predictor": predictor}
        concept = sorted(now.of(names.CONCEPT_EVIDENCE, **of), key=lambda s: -s.value)
        unfair = [s.labels.get("attribute", "") for s in now.of(names.FAIRNESS_BREACH, **of) if s.value == 1]
        found.append(
            Labels(
                model=model,
                predictor=predictor,
                measures=(
                    *_measures(now, of, names.REALISED, names.REALISED_LOW, names.REALISED_HIGH),
                    *_measures(now, of, names.ESTIMATED, names.ESTIMATED_LOW, names.ESTIMATED_HIGH),
                ),
                coverage=now.one(names.LABEL_COVERAGE, **of),
                due=now.one(names.LABELS_DUE, **of),
                concept=concept[0].value if concept else None,
                concept_threshold=now.one(names.CONCEPT_THRESHOLD, **of),
                concept_question=concept[0].labels.get("question", "") if concept else "",
                worse=now.one(names.CONCEPT_WORSE, **of) == 1,
                unfair=tuple(sorted(unfair)),
            )
        )
    return found


def _measures(now: Samples, of: dict[str, str], name: str, low: str, high: str) -> list[Measure]:
    found: list[Measure] = []
    for measure in now.values("measure", name, **of):
        value = now.one(name, **of, measure=measure)
        if value is None:
            continue
        estimated = name == names.ESTIMATED
        found.append(
            Measure(
                name=measure,
                value=value,
                low=now.one(low, **of, measure=measure),
                high=now.one(high, **of, measure=measure),
                floor=None
                if estimated
                else now.one(names.PERFORMANCE_FLOOR, model=of["model"], measure=measure),
                below=not estimated and now.one(names.PERFORMANCE_BELOW, **of, measure=measure) == 1,
                estimated=estimated,
            )
        )
    return found


def _audit(now: Samples) -> Audit | None:
    broken = now.one(names.AUDIT_BROKEN)
    if broken is None:
        return None
    return Audit(
        entries=now.one(names.AUDIT_ENTRIES), broken=broken == 1, verified=_age(now, names.AUDIT_VERIFIED)
    )


_SEVERITIES = ("critical", "warning", "info")
_SAID = frozenset(
    ("alertname", "alertstate", "severity", "model", "retrain", "__name__", "instance", "job", "namespace")
)


def _alerts(now: Samples, models: Sequence[str]) -> tuple[Alert, ...]:
    found: list[Alert] = []
    for sample in now.of(ALERTS, alertstate="firing"):
        labels = sample.labels
        if not labels.get("alertname", "").startswith("Serinus"):
            continue
        if labels.get("model") not in (None, "", *models):
            continue
        found.append(
            Alert(
                name=labels["alertname"],
                severity=labels.get("severity", ""),
                model=labels.get("model", ""),
                about=", ".join(f"{k} {v}" for k, v in sorted(labels.items()) if k not in _SAID and v),
                retrain=labels.get("retrain") == "true",
            )
        )
    return tuple(sorted(found, key=lambda a: (_rank(a.severity), a.name, a.model, a.about)))


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _age(now: Samples, name: str, **wanted: str) -> float | None:
    at = now.one(name, **wanted)
    return None if at is None else max(0.0, now.at - at)
