"""The platform's page: what Prometheus sees of rollouts and of the audit log."""

import asyncio
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serinus.audit import AuditLog
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.exposition import OverrideCollector
from serving.local.page import Page
from serving.local.rollouts import rollout_directory
from serving.rollout.exposition import RolloutCollector
from serving.rollout.status import Entry, Phase, RolloutStatus, Routes, encode
from tests.support.bundles import small_bundle, small_home
from tests.unit.rollout.cases import NOW, SPLIT, status_in


class Shown:
    """A page, asked by name and labels; None where there is no such series."""

    def __init__(self, text: str) -> None:
        self.rows = [row for family in text_string_to_metric_families(text) for row in family.samples]

    def __call__(self, name: str, **labels: str) -> float | None:
        found = [r.value for r in self.rows if r.name == name and labels.items() <= r.labels.items()]
        assert len(found) <= 1, f"{name} {labels} names several series"
        return found[0] if found else None


def page_of(*statuses: RolloutStatus, ended: dict[tuple[str, str], int] | None = None) -> Shown:
    registry = CollectorRegistry()
    registry.register(RolloutCollector(lambda: statuses, lambda: ended or {}))  # type: ignore[arg-type]
    return Shown(generate_latest(registry).decode())


def test_a_running_rollout_shows_its_phase_and_who_has_the_traffic() -> None:
    status = status_in(Phase.PROGRESSING, desired=SPLIT)
    page = page_of(status)
    at = {"model": status.model, "rollout": "r"}
    assert page("serinus_rollout_phase", phase="Progressing", **at) == 1
    assert page("serinus_rollout_weight_ratio", predictor="v2", role="candidate", **at) == pytest.approx(0.1)
    assert page("serinus_rollout_weight_ratio", predictor="v1", role="champion", **at) == pytest.approx(0.9)
    assert page("serinus_rollout_last_look_timestamp_seconds", **at) == NOW - 1


def test_without_a_verdict_there_is_no_evidence_rather_than_none_of_it() -> None:
    page = page_of(status_in(Phase.PROGRESSING, verdict=None))
    assert not [row for row in page.rows if "evidence" in row.name]


def test_every_ending_stands_from_the_first_rollout_on() -> None:
    page = page_of(status_in(Phase.PROGRESSING), ended={("cards", "rolled_back"): 2})
    told = [row.value for row in page.rows if row.name == "serinus_rollouts_ended_total"]
    assert sorted(told) == [0, 0, 0, 0, 0, 0, 0, 2]


def test_on_a_cluster_the_namespace_is_a_label_as_the_scorers_series_have_it() -> None:
    """Dashboards and sums by namespace would otherwise miss every rollout, or add two models of one name."""
    here = replace(status_in(Phase.PROGRESSING), id="models/r")
    there = replace(status_in(Phase.PROMOTED), id="trial/r")
    registry = CollectorRegistry()
    ended = {(f"models/{here.model}", "rolled_back"): 2}
    registry.register(
        RolloutCollector(lambda: [here, there], lambda: ended, namespaced=True)  # type: ignore[arg-type]
    )
    page = Shown(generate_latest(registry).decode())
    at = {"model": here.model, "namespace": "models"}
    assert page("serinus_rollout_phase", rollout="models/r", phase="Progressing", **at) == 1
    assert page("serinus_rollouts_ended_total", result="rolled_back", **at) == 2
    assert (
        page("serinus_rollouts_ended_total", result="rolled_back", model=here.model, namespace="trial") == 0
    )


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def fetch(page: Page, path: str = "/metrics") -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{page.address}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    return await asyncio.to_thread(ask)


@pytest.mark.anyio
async def test_the_page_shows_each_models_latest_rollout_and_counts_all(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name, started, phase in (("a", 1.0, Phase.ROLLED_BACK), ("b", 2.0, Phase.PROMOTED)):
        status = status_in(phase, id=name, started_at=started, desired=Routes(stable="v1"), old_stopped=True)
        (rollout_directory(home, name) / "status.json").write_bytes(encode(status))
    (rollout_directory(home, "torn") / "status.json").write_bytes(b"{")
    page = Page(home)
    await page.start()
    try:
        code, text = await fetch(page)
        missing, _ = await fetch(page, "/")
    finally:
        await page.stop()
    assert (code, missing) == (200, 404)
    shown = Shown(text)
    assert shown("serinus_rollout_phase") == 1
    assert shown("serinus_rollout_phase", rollout="b", phase="Promoted") == 1
    assert shown("serinus_rollouts_ended_total", result="rolled_back") == 1
    assert shown("serinus_rollouts_ended_total", result="promoted") == 1


@pytest.mark.parametrize("harm", [False, True])
def test_a_broken_audit_log_is_shown_as_broken(tmp_path: Path, harm: bool) -> None:
    home = Home(tmp_path)
    audit = AuditLog(home.audit)
    for subject in ("one", "two"):
        audit.append(actor="ann", action="test", subject=subject)
    if harm:
        path = next(home.audit.glob("*.jsonl"))
        path.write_bytes(path.read_bytes().replace(b"one", b"eno"))
    page = Page(home)
    page._audit.verify(audit, NOW)
    text = generate_latest(page._registry).decode()
    assert f"serinus_audit_broken {float(harm)}" in text
    assert ("serinus_audit_entries 2.0" in text) is not harm


def test_before_the_first_verification_nothing_is_claimed(tmp_path: Path) -> None:
    assert "serinus_audit_broken" not in generate_latest(Page(Home(tmp_path))._registry).decode()


@pytest.mark.anyio
async def test_the_page_shows_until_when_each_version_in_use_is_to_be_reviewed(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    registry = Registry(home, clock=lambda: 0.0)
    for version in (1, 2):
        bundle = small_bundle(tmp_path, version=version)
        registry.register(bundle, by="ann", owner="cards", run="r")
    registry.set_stage("small", 2, "champion", by="bob", reason="first")
    page = Page(home)
    await page.start()
    try:
        _, text = await fetch(page)
        (home.root / "reviews.yaml").write_text("cadence: often")
        _, without = await fetch(page)
    finally:
        await page.stop()
    every = 180 * 86400  # of a version whose tier nobody stated
    assert Shown(text)("serinus_review_due_timestamp_seconds", model="small", version="2") == every
    assert Shown(text)("serinus_review_due_timestamp_seconds", model="small", version="1") is None
    assert "serinus_review_due" not in without


def test_an_override_is_counted_with_its_time_and_none_has_no_series(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    registry = CollectorRegistry()
    registry.register(OverrideCollector(home))  # type: ignore[arg-type]
    assert not [row for row in Shown(generate_latest(registry).decode()).rows if "override" in row.name]
    why = "The approver is in hospital and fraud runs at 40 k an hour; reviewed by phone."
    made = Registry(home, clock=lambda: 1_000_000.0)
    made.register(small_bundle(tmp_path), by="ann", owner="cards", run="r1")
    made.approve("small", 1, by="bob", role="breakglass", reason=why)
    page = Shown(generate_latest(registry).decode())
    assert page("serinus_approval_overrides_total", model="small") == 1
    assert page("serinus_approval_override_last_timestamp_seconds", model="small") == 1_000_000.0


def test_on_a_cluster_overrides_are_told_by_the_rollouts_history() -> None:
    told = Entry(
        seq=1, at=NOW - 5, phase="AwaitingApproval", reason="ApprovalOverridden", message="pat", actor="pat"
    )
    status = replace(status_in(Phase.PROGRESSING), id="models/r", history=(told,))
    registry = CollectorRegistry()
    registry.register(RolloutCollector(lambda: [status], dict, namespaced=True))  # type: ignore[arg-type]
    page = Shown(generate_latest(registry).decode())
    at = {"namespace": "models", "model": status.model}
    assert page("serinus_approval_overrides_total", **at) == 1
    assert page("serinus_approval_override_last_timestamp_seconds", **at) == NOW - 5
