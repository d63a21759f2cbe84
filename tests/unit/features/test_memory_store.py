"""The memory store's file: whatever ends the process, each event is found exactly once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from serinus.errors import SerinusError
from serinus.features.online import KnownLabel, MemoryStore
from serinus.features.online import journal as journals
from serinus.features.values import micros
from tests.unit.features.records import FEATURES, START, contract
from tests.unit.features.test_stream import HOUR, event


def known(hours: float) -> int:
    at = micros(START + hours * HOUR)
    assert at is not None
    return at


def add(store: MemoryStore, *records: dict[str, Any], decision: str | None = None) -> None:
    store.add([store.reader.event(r) for r in records], [] if decision is None else [decision])


def features(store: MemoryStore, hours: float) -> dict[str, object]:
    return store.stream.features(event("asked", hours))


def closed(store: MemoryStore) -> None:
    asyncio.run(store.close())


def killed(store: MemoryStore) -> None:
    """What the kernel does for a killed process: its files are closed, nothing is written."""
    assert store._journal is not None  # pyright: ignore[reportPrivateUsage]
    store._journal.release()  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("end", [closed, killed])
def test_a_restart_forgets_nothing(tmp_path: Path, end: Any) -> None:
    file = tmp_path / "kept" / "features"
    store = MemoryStore(contract(), file)
    add(store, event("1", 0, bad=None), event("2", 0.5))
    store.label([KnownLabel(value=1, at=known(1), event="1")])
    end(store)
    again = MemoryStore(contract(), file)
    add(again, event("2", 0.6), event("3", 1))
    assert features(again, 1.5)["n_2h"] == 3.0
    assert features(again, 3.2)["risk_3h"] == 1.0
    end(again)
    third = MemoryStore(contract(), file)
    assert features(third, 1.5) == features(again, 1.5)
    assert len(third.stream) == len(again.stream) == 6, "three events of two entities"


def test_an_event_without_id_is_not_found_twice_after_a_restart(tmp_path: Path) -> None:
    without_ids = contract(lateness="7d")
    for _ in range(3):
        store = MemoryStore(without_ids, tmp_path / "kept")
        add(store, {k: v for k, v in event("", 0).items() if k != "id"})
        closed(store)
    killed_one = MemoryStore(without_ids, tmp_path / "kept")
    assert features(killed_one, 1)["n_2h"] == 3.0


def test_a_label_by_decision_finds_its_event_after_a_restart(tmp_path: Path) -> None:
    for end in (closed, killed):
        store = MemoryStore(contract(), tmp_path / end.__name__)
        add(store, event("1", 0), decision="asked-1")
        end(store)
        again = MemoryStore(contract(), tmp_path / end.__name__)
        assert again.label([KnownLabel(value=1, at=known(1), decision="asked-1")]) == [True]
        assert again.label([KnownLabel(value=1, at=known(1), decision="asked-2")]) == [False]
        assert features(again, 3.5)["risk_3h"] == 1.0


def test_what_a_crash_left_half_written_is_not_there_and_hides_nothing(tmp_path: Path) -> None:
    whole = MemoryStore(contract(), tmp_path / "whole")
    add(whole, event("1", 0), event("2", 0.5))
    killed(whole)
    (journal,) = tmp_path.glob("whole.[0-9]*")
    data = journal.read_bytes()
    sizes: set[float] = set()
    for cut in range(len(data) + 1):
        journal.write_bytes(data[:cut])
        store = MemoryStore(contract(), tmp_path / "whole")
        sizes.add(features(store, 1)["n_2h"])  # type: ignore[arg-type]
        add(store, event("3", 0.7))
        killed(store)
        again = MemoryStore(contract(), tmp_path / "whole")
        assert features(again, 1)["n_2h"] == features(store, 1)["n_2h"]
        killed(again)
        for file in tmp_path.glob("whole*"):
            file.unlink()
    assert sizes == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("step", ["write", "replace", "unlink"])
def test_a_snapshot_that_fails_midway_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = tmp_path / "kept"
    store = MemoryStore(contract(), file)
    add(store, event("1", 0))

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(os, "fsync", fail)
        elif step == "replace":
            patch.setattr(os, "replace", fail)
        else:
            patch.setattr(Path, "unlink", fail)
        with pytest.raises(SerinusError) as caught:
            store.save()
    assert caught.value.code == "SRN-FEATURES-009"
    add(store, event("2", 0.5))
    killed(store)
    assert features(MemoryStore(contract(), file), 1)["n_2h"] == 2.0


def test_a_snapshot_tried_again_and_again_on_a_full_disk_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(contract(), tmp_path / "kept")
    before = len(list(tmp_path.iterdir()))
    with monkeypatch.context() as patch:

        def fail(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", fail)
        for _ in range(5):
            with pytest.raises(SerinusError, match="SRN-FEATURES-009"):
                store.save()
    assert len(list(tmp_path.iterdir())) == before + 1, "the snapshot aside"


def test_a_journal_that_cannot_be_begun_leaves_the_one_there_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(contract(), tmp_path / "kept")
    real = os.open
    with monkeypatch.context() as patch:

        def fail(path: Any, *given: Any, **named: Any) -> int:
            if str(path)[-1].isdigit():
                raise OSError(24, "Too many open files")
            return real(path, *given, **named)

        patch.setattr(os, "open", fail)
        with pytest.raises(SerinusError, match="SRN-FEATURES-009"):
            store.save()
    add(store, event("1", 0))
    assert store.unkept == 0
    killed(store)
    assert features(MemoryStore(contract(), tmp_path / "kept"), 1)["n_2h"] == 1.0


def test_nobody_but_its_owner_and_group_reads_the_file(tmp_path: Path) -> None:
    store = MemoryStore(contract(), tmp_path / "kept")
    store.save()
    assert [path.stat().st_mode & 0o007 for path in tmp_path.iterdir()] == [0] * len(list(tmp_path.iterdir()))


def test_an_entry_that_the_disk_refused_hides_none_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(contract(), tmp_path / "kept")
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: real(file, data[:10]))
        add(store, event("1", 0))
    assert features(store, 1)["n_2h"] == 1.0, "it is in memory all the same"
    assert store.unkept == 1
    add(store, event("2", 0.5))
    assert store.unkept == 0
    killed(store)
    assert features(MemoryStore(contract(), tmp_path / "kept"), 1)["n_2h"] == 2.0


@pytest.mark.parametrize("end", [closed, killed])
def test_what_a_full_disk_refused_is_written_when_there_is_room_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    told: list[str] = []
    store = MemoryStore(contract(), tmp_path / "kept", lambda error: told.append(error.code))
    add(store, event("0", 0))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: 0)
        for number in range(1, 200):
            add(store, event(str(number), 0.001 * number))
        assert store.unkept == 199
    assert told == ["SRN-FEATURES-009"]
    for number in range(200, 204):  # some of those before with each
        add(store, event(str(number), 0.001 * number))
    assert store.unkept == 0
    end(store)
    again = MemoryStore(contract(), tmp_path / "kept")
    assert features(again, 1)["n_2h"] == 204.0


def test_what_waits_for_the_disk_is_bounded_and_a_snapshot_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_MOST_WAITING", 2000)
    store = MemoryStore(contract(), tmp_path / "kept")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: 0)
        for number in range(100):
            add(store, event(str(number), 0.001 * number))
    assert store.unkept == 100
    store.save()
    assert store.unkept == 0
    killed(store)
    assert features(MemoryStore(contract(), tmp_path / "kept"), 1)["n_2h"] == 100.0


def test_a_label_of_any_size_is_kept(tmp_path: Path) -> None:
    store = MemoryStore(contract(), tmp_path / "kept")
    add(store, event("1", 0, bad=None), event("2", 0, bad=None))
    store.label(
        [KnownLabel(value=10**30, at=known(1), event="1"), KnownLabel(value=1, at=known(1), event="2")]
    )
    killed(store)
    assert features(MemoryStore(contract(), tmp_path / "kept"), 3.2)["risk_3h"] == 0.5


def test_a_file_belongs_to_one_process(tmp_path: Path) -> None:
    first = MemoryStore(contract(), tmp_path / "kept")
    with pytest.raises(SerinusError) as caught:
        MemoryStore(contract(), tmp_path / "kept")
    assert caught.value.code == "SRN-FEATURES-009"
    closed(first)
    closed(MemoryStore(contract(), tmp_path / "kept"))


@pytest.mark.parametrize(
    ("bytes_", "code"), [(b"not a snapshot", "SRN-FEATURES-006"), (b"\x81\xa1a\x01", "SRN-FEATURES-006")]
)
def test_a_damaged_file_is_said_to_be_one(tmp_path: Path, bytes_: bytes, code: str) -> None:
    (tmp_path / "kept").write_bytes(bytes_)
    with pytest.raises(SerinusError) as caught:
        MemoryStore(contract(), tmp_path / "kept")
    assert (caught.value.code, caught.value.where) == (code, str(tmp_path / "kept"))


def test_a_file_of_other_features_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = MemoryStore(contract(), tmp_path / "kept")
    add(store, event("1", 0))
    closed(store)
    before = (tmp_path / "kept").read_bytes()
    with pytest.raises(SerinusError) as caught:
        MemoryStore(contract(features=[*FEATURES[:7], FEATURES[8]]), tmp_path / "kept")
    assert caught.value.code == "SRN-FEATURES-006"
    assert (tmp_path / "kept").read_bytes() == before


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SerinusError) as caught:
        MemoryStore(contract(), tmp_path / "file" / "kept")
    assert caught.value.code == "SRN-FEATURES-009"
