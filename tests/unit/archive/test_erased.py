"""What a pod sends again of a person who was erased is not kept again, whenever it comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from serinus.archive import Archive
from serinus.cli import main
from serinus.events import Feedback
from serinus.home import Home
from serinus.privacy import open_store
from serinus.privacy.erase import Asked, erase
from serinus.privacy.forgotten import Forgotten
from serinus.privacy.kept import blank_outcomes, outcomes_of
from serinus.privacy.retention import Retention
from tests.unit.privacy.support import NOW, decide


def lines_of(home: Home, name: str) -> list[bytes]:
    return (home.decisions / f"{name}.jsonl").read_bytes().splitlines()


def sent(request: str, *rows: float) -> bytes:
    truth: list[list[float | int | str | bool | None]] = [[row] for row in rows]
    return msgspec.json.encode(
        Feedback(request_id=request, time="2026-09-21T00:00:00Z", predictor="champion", truth=truth)
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """ann was decided on in r0, r2 and r3, bob in r1."""
    made = Home(tmp_path)
    decide(made, "ann", "bob", "ann", "ann")
    return made


@pytest.fixture
def archive(home: Home) -> Iterator[Archive]:
    made = Archive(home)
    yield made
    made.close()


def erase_ann(home: Home) -> None:
    store = open_store(home, {})
    asked = Asked(kind="customer", subject="ann", by="dpo", reason="case 12")
    assert erase(home, store, asked, now=NOW, retention=Retention()).verdict == "erased"
    store.close()


OUTCOMES = [sent(f"r{number}", 1.0) for number in range(4)]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("kept_before", [4, 2, 0])
def test_outcomes_that_are_sent_again_stay_away(home: Home, kept_before: int, restarted: bool) -> None:
    archive = Archive(home)
    archive.feedback("pod", OUTCOMES[:kept_before])
    erase_ann(home)
    if restarted:
        archive = Archive(home)
    archive.feedback("pod", OUTCOMES)
    taken = archive.feedback("pod", OUTCOMES)
    assert outcomes_of(home.decisions, {"r0", "r2", "r3"}) == []
    assert [kept.request_id for kept in outcomes_of(home.decisions, {"r1"})] == ["r1"]
    assert taken.kept == 0
    assert taken.erased + taken.duplicate == 4
    assert restarted is False or taken.erased == 3


def test_of_a_batch_only_the_rows_of_others_are_kept_and_once(home: Home, archive: Archive) -> None:
    archive.feedback("pod", [sent("b", 1.0, 0.0)])
    Forgotten(home.root).note(("k-1",), {"b.0"})
    assert blank_outcomes(home.decisions, {"b.0"}) == 1
    for again in (archive, Archive(home)):
        again.feedback("pod", [sent("b", 1.0, 0.0)])
        (kept,) = outcomes_of(home.decisions, {"b.0", "b.1"})
        assert kept.truth == [[0.0]]
        assert len(lines_of(home, "pod.feedback")) == 1
    assert archive.feedback("pod", [sent("b", 0.0, 0.0)]).kept == 1  # another outcome, of the other row alone
    assert all(kept.truth == [[0.0]] for kept in outcomes_of(home.decisions, {"b.0", "b.1"}))


def test_a_decision_that_comes_after_its_persons_erasure_takes_its_outcome_along(
    home: Home, archive: Archive
) -> None:
    log = home.decisions / "credit-champion.jsonl"
    lines = lines_of(home, "credit-champion")
    log.write_bytes(b"".join(line + b"\n" for line in lines[:2]))
    erase_ann(home)
    assert archive.feedback("pod", [OUTCOMES[2]]).kept == 1  # whose it is, is not known yet
    assert archive.take("credit-champion", lines).kept == 2
    assert outcomes_of(home.decisions, {"r0", "r2", "r3"}) == []
    archive.feedback("pod", OUTCOMES)
    assert outcomes_of(home.decisions, {"r0", "r2", "r3"}) == []
    assert len(outcomes_of(home.decisions, {"r1"})) == 1


def test_a_backup_that_brings_outcomes_back_is_put_right(
    home: Home, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.feedback("pod", OUTCOMES)
    file = home.decisions / "pod.feedback.jsonl"
    before = file.read_bytes()
    erase_ann(home)
    file.write_bytes(before)
    (home.root / "privacy" / "erased-requests.jsonl").unlink()
    assert len(outcomes_of(home.decisions, {"r0", "r2", "r3"})) == 3
    monkeypatch.setenv("SERINUS_HOME", str(home.root))
    assert main(["privacy", "status", "--mend"]) == 0
    assert outcomes_of(home.decisions, {"r0", "r2", "r3"}) == []
    assert Archive(home).feedback("pod", OUTCOMES).erased == 3
