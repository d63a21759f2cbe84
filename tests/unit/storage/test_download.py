"""A download is whole and right, or an error; a loss costs what was lost and no more."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.storage import Budget, MemoryStore, download
from tests.unit.storage.stores import Clock, LossyStore

DATA = bytes(range(256)) * 4
SHA = hashlib.sha256(DATA).hexdigest()


def budget(seconds: float = 1000.0, size: int = 1 << 20, clock: Clock | None = None) -> Budget:
    clock = clock or Clock()
    return Budget(seconds, size, clock, clock.sleep)


def lossy(*losses: int, data: bytes = DATA) -> LossyStore:
    store = LossyStore(*losses)
    store.objects["x"] = data
    return store


def test_a_loss_is_taken_up_where_it_was(tmp_path: Path) -> None:
    store = lossy(100, 300)
    received = download(store, "x", tmp_path / "x", budget(), size=len(DATA), sha256=SHA)
    assert (tmp_path / "x").read_bytes() == DATA
    assert store.asked == [("x", 0), ("x", 100), ("x", 400)]
    assert received == len(DATA)


def test_an_answer_that_just_ends_is_a_loss_too(tmp_path: Path) -> None:
    store = lossy(-500)
    download(store, "x", tmp_path / "x", budget(), size=len(DATA), sha256=SHA)
    assert store.asked == [("x", 0), ("x", 500)]


@given(losses=st.lists(st.integers(0, 200), max_size=12), known=st.booleans())
def test_no_sequence_of_losses_changes_what_comes(
    tmp_path_factory: pytest.TempPathFactory, losses: list[int], known: bool
) -> None:
    target = tmp_path_factory.mktemp("d") / "x"
    store = lossy(*losses)

    def transfer() -> int:
        return download(store, "x", target, budget(), size=len(DATA) if known else None, sha256=SHA)

    if losses.count(0) <= 5:
        transfer()
        assert target.read_bytes() == DATA
        return
    with contextlib.suppress(SerinusError):  # too many fruitless tries in a row: an error is right as well
        transfer()
        assert target.read_bytes() == DATA


def test_what_an_earlier_try_brought_is_not_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA[:700])
    store = lossy()
    assert download(store, "x", tmp_path / "x", budget(), size=len(DATA), sha256=SHA) == len(DATA) - 700
    assert download(store, "x", tmp_path / "x", budget(), size=len(DATA), sha256=SHA) == 0
    assert store.asked == [("x", 700)]


def test_a_wrong_beginning_is_thrown_away_and_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"?" * 700)
    store = lossy()
    download(store, "x", tmp_path / "x", budget(), size=len(DATA), sha256=SHA)
    assert (tmp_path / "x").read_bytes() == DATA
    assert store.asked == [("x", 700), ("x", 0)]


@pytest.mark.parametrize(
    ("stored", "size", "says"),
    [
        (DATA[:-1] + b"?", len(DATA), "sha256"),
        (DATA[:-1], len(DATA), "1,023 bytes, not 1,024"),
        (DATA + b"?", len(DATA), "more than 1,024 bytes"),
        (DATA, 1 << 21, "2,097,152 bytes, and 1,048,576 are allowed"),
    ],
)
def test_what_is_altered_at_its_place_is_refused(tmp_path: Path, stored: bytes, size: int, says: str) -> None:
    with pytest.raises(SerinusError, match=says) as caught:
        download(lossy(data=stored), "x", tmp_path / "x", budget(), size=size, sha256=SHA)
    assert caught.value.code == "SRN-STORE-006"
    assert caught.value.where == "memory://store/x"


def test_an_object_of_unknown_size_stays_within_the_budget(tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match="SRN-STORE-006"):
        download(lossy(), "x", tmp_path / "x", budget(size=1000))


def test_a_store_that_stays_away_is_given_up_on_in_bounded_time(tmp_path: Path) -> None:
    clock = Clock()
    store = lossy(*[0] * 99)
    with pytest.raises(SerinusError, match="SRN-STORE-004"):
        download(store, "x", tmp_path / "x", budget(clock=clock), size=len(DATA))
    assert len(store.asked) == 6
    assert clock.now < 30


def test_no_pause_goes_past_the_end_of_the_time(tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(SerinusError, match="SRN-STORE-004"):
        download(lossy(*[0] * 99), "x", tmp_path / "x", budget(2.5, clock=clock), size=len(DATA))
    assert clock.now <= 2.5


def test_a_store_that_drips_is_stopped_at_the_end_of_the_time(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = 0
    limit = budget(10, clock=clock)
    clock.now = 11
    with pytest.raises(SerinusError, match="SRN-STORE-007"):
        download(lossy(), "x", tmp_path / "x", limit, size=len(DATA))
    assert (tmp_path / "x").exists(), "what has come is kept"


def test_what_is_not_there_is_not_tried_again(tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(SerinusError, match="SRN-STORE-002"):
        download(MemoryStore(), "x", tmp_path / "x", budget(clock=clock))
    assert clock.now == 0


def test_a_full_disk_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SerinusError, match="SRN-HOME-001"):
        download(lossy(), "x", tmp_path / "x", budget(), size=len(DATA))
