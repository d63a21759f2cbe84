"""What the terminal says, from samples: rates between two moments, the worst first, the unknown as unknown."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.watch.artefacts import RULES
from serving.watch.boards import BOARDS
from serving.watch.grafana import document, queries
from serving.watch.terminal.frame import View
from serving.watch.terminal.samples import Sample, Samples, increase, quantile
from serving.watch.terminal.sources import READ
from serving.watch.terminal.view import view
from tests.unit.watch.terminal import ALL, DRIFT, HEAD, page, traffic


def seen(now: Samples, before: Samples | None = None, **asked: object) -> View:
    return view(now, before, source="test", **asked)  # type: ignore[arg-type]


def test_rates_errors_and_quantiles_are_of_what_happened_between_two_moments() -> None:
    before = traffic(
        {("champion", "200"): 1000, ("champion", "500"): 5},
        {"champion": {"0.05": 900, "0.1": 1000, "+Inf": 1005}},
    )
    now = traffic(
        {("champion", "200"): 1180, ("champion", "500"): 25},
        {"champion": {"0.05": 1000, "0.1": 1150, "+Inf": 1205}},
    )
    (_, champion) = seen(page(HEAD + now), page(HEAD + before, at=980.0)).services
    assert (champion.predictor, champion.version) == ("champion", "3")
    assert champion.rate == 10.0
    assert champion.errors == 0.1
    assert champion.p50 == pytest.approx(0.05)
    assert champion.p99 == 0.1, "beyond the last edge nothing is known but the edge"
    assert champion.slow == pytest.approx(0.25)


def test_a_restarted_program_counts_from_nothing_and_a_first_error_counts_whole() -> None:
    before = page(traffic({("champion", "200"): 1000}), at=990.0)
    now = page(traffic({("champion", "200"): 40, ("champion", "500"): 2}))
    assert increase(now, before, "serinus_requests_total", ("code",)) == {("200",): 40.0, ("500",): 2.0}


def test_a_program_that_did_not_answer_before_says_nothing_yet_and_one_that_began_since_all() -> None:
    before = page(traffic({("champion", "200"): 1000}), at=990.0)
    beside = page(traffic({("canary", "200"): 70_000}), instance="b")
    both = Samples(
        [
            *page(traffic({("champion", "200"): 1010})).of("serinus_requests_total"),
            *beside.of("serinus_requests_total"),
        ],
        1000.0,
    )
    assert increase(both, before, "serinus_requests_total", ("predictor",)) == {("champion",): 10.0}
    assert increase(beside, before, "serinus_requests_total", ("predictor",)) is None
    for asked, found in ((frozenset("a"), {("canary",): 70_000.0}), (frozenset("ab"), None)):
        then = Samples(before.of("serinus_requests_total"), 990.0, asked)
        assert increase(beside, then, "serinus_requests_total", ("predictor",)) == found
    assert increase(both, None, "serinus_requests_total", ("predictor",)) is None


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_that_holds_its_rank(counts: list[int], q: float) -> None:
    edges = [float(k + 1) for k in range(len(counts) - 1)] + [math.inf]
    below, buckets = 0, {}
    for edge, count in zip(edges, counts, strict=True):
        below += count
        buckets[edge] = float(below)
    found = quantile(q, buckets)
    if below == 0:
        assert found is None
        return
    assert found is not None
    holds = next(edge for edge in edges if buckets[edge] >= q * below)
    assert found <= holds
    assert holds == math.inf or found >= holds - 1.0


def test_everything_that_is_reported_is_there_the_worst_first() -> None:
    found = seen(page(ALL))
    (rollout,) = found.rollouts
    assert (rollout.phase, rollout.since, rollout.weights["candidate"]) == ("Progressing", 100.0, 0.25)
    assert (rollout.evidence, rollout.threshold, rollout.looked, rollout.had_data) == (1.5, 2.0, 2.0, None)
    assert rollout.guards == (("errors", 1.4), ("latency", -0.2))
    (drift,) = found.drift
    assert drift.active == ("feature",)
    assert [f.name for f in drift.features] == ["amount", "model score", "hour"]
    assert [f.drifts for f in drift.features] == [True, False, False], "evidence and effect, not one alone"
    (labels,) = found.labels
    precision, auc = labels.measures
    assert (precision.low, precision.floor, precision.below, auc.estimated, auc.floor) == (
        0.5,
        0.95,
        True,
        True,
        None,
    )
    assert (labels.concept, labels.concept_question, labels.worse, labels.unfair) == (
        1.2,
        "precision",
        False,
        ("race",),
    )


def test_what_nobody_reports_is_unknown_and_never_zero() -> None:
    found = seen(page(HEAD))
    assert (found.rollouts, found.drift, found.labels, found.alerts, found.audit) == ((), (), (), None, None)
    for service in found.services:
        assert [service.rate, service.errors, service.p99, service.shed, service.behind] == [None] * 5
    quiet = page(HEAD + traffic({("champion", "200"): 7}))
    (_, champion) = seen(quiet, page(HEAD + traffic({("champion", "200"): 7}), at=990.0)).services
    assert (champion.rate, champion.errors) == (0.0, None), "no request: no share of errors"
    assert seen(page("")).models == ()


def test_a_model_may_be_chosen() -> None:
    two = HEAD + DRIFT + DRIFT.replace("fraud", "credit") + HEAD.replace("fraud", "credit")
    assert seen(page(two)).models == ("credit", "fraud")
    found = seen(page(two), model="credit")
    assert {s.model for s in found.services} | {d.model for d in found.drift} == {"credit"}


def test_alerts_that_fire_are_ours_the_most_severe_first() -> None:
    def alert(name: str, state: str = "firing", **labels: str) -> Sample:
        return Sample("ALERTS", {"alertname": name, "alertstate": state, **labels}, 1.0)

    alerts = [
        alert("SerinusFeatureDrift", severity="warning", model="fraud", predictor="champion", retrain="true"),
        alert("SerinusAuditLogBroken", severity="critical"),
        alert("SerinusFeatureDrift", severity="warning", model="other"),
        alert("SerinusOutcomesStale", state="pending", severity="warning", model="fraud"),
        alert("KubePodCrashLooping", severity="critical"),
    ]
    now = Samples([*page(HEAD).of("serinus_model_info"), *alerts], 1000.0)
    found = seen(now, alerts=True).alerts
    assert found is not None
    assert [(a.name, a.about, a.retrain) for a in found] == [
        ("SerinusAuditLogBroken", "", False),
        ("SerinusFeatureDrift", "predictor champion", True),
    ]
    assert seen(now).alerts is None, "where no rules are evaluated nobody knows"


def test_a_frame_is_json_with_null_for_the_unknown() -> None:
    frame = json.loads(msgspec.json.encode(seen(page(ALL))))
    assert frame["services"][0]["rate"] is None
    assert frame["drift"][0]["features"][0] == {
        "name": "amount", "evidence": 6.0, "threshold": 3.0, "psi": 0.4, "psi_limit": 0.1, "p_value": None,
        "missing": 0.02,
    }  # fmt: skip


def test_the_terminal_reads_only_what_a_dashboard_shows_or_an_alert_rests_on() -> None:
    shown = " ".join(query for board in BOARDS for query in queries(document(board)))
    shown += " ".join(path.read_text(encoding="utf-8") for path in RULES.glob("*.yaml"))
    behind_an_active_one = {"serinus_concept_drift_evidence_log10", "serinus_concept_drift_threshold_log10"}
    assert {name for name in READ if name not in shown} == behind_an_active_one
