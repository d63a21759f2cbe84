"""An edited, removed or reordered entry is found, and its place named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.audit import AuditLog
from serinus.chain import ChainWriter, read_chain, verify_chain
from serinus.errors import SerinusError


def _log(path: Path, entries: int = 5) -> Path:
    with ChainWriter(path) as writer:
        for i in range(entries):
            writer.append([b'{"n":%d}' % i])
    return path


def _lines(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


@pytest.mark.parametrize(
    ("harm", "place"),
    [
        pytest.param(lambda ls: [*ls[:2], ls[2].replace(b'"n":2', b'"n":9'), *ls[3:]], "line 3", id="edited"),
        pytest.param(lambda ls: [*ls[:2], *ls[3:]], "line 3", id="removed"),
        pytest.param(lambda ls: [ls[0], ls[2], ls[1], *ls[3:]], "line 2", id="reordered"),
        pytest.param(lambda ls: [*ls[:3], ls[2], *ls[3:]], "line 4", id="repeated"),
        pytest.param(lambda ls: ls[1:], "line 1", id="first removed"),
        pytest.param(lambda ls: [*ls, b"garbage\n"], "line 6", id="garbage"),
        pytest.param(lambda ls: [*ls[:-1], ls[-1][:-9]], "line 5", id="torn"),
    ],
)
def test_tampering_is_found_and_placed(
    tmp_path: Path, harm: Callable[[list[bytes]], list[bytes]], place: str
) -> None:
    path = _log(tmp_path / "log.jsonl")
    _lines(path, harm)
    with pytest.raises(SerinusError) as caught:
        verify_chain(path)
    assert caught.value.code == "SRN-AUDIT-003"
    assert place in caught.value.what


def test_an_untouched_log_is_sound(tmp_path: Path) -> None:
    path = _log(tmp_path / "log.jsonl")
    count, head = verify_chain(path)
    assert count == 5
    assert [bytes(entry.body) for entry in read_chain(path)][-1] == b'{"n":4}'
    assert list(read_chain(path))[-1].hash == head


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6), cut=st.integers(0, 60))
def test_a_crash_in_mid_write_loses_only_the_torn_line(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("chain") / "log.jsonl"
    with ChainWriter(path) as writer:
        for batch in batches:
            writer.append([b"%d" % n for n in batch], durable=False)
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"seq":99,"prev":"torn by a crash in the middle of a write"'[:cut])
    with ChainWriter(path) as writer:
        writer.append([b'"after"'])
    assert path.read_bytes().startswith(whole)
    assert verify_chain(path)[0] == sum(map(len, batches)) + 1


def test_a_second_writer_is_kept_out(tmp_path: Path) -> None:
    with (
        ChainWriter(tmp_path / "log.jsonl"),
        pytest.raises(SerinusError, match="SRN-AUDIT-001"),
    ):
        ChainWriter(tmp_path / "log.jsonl")


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _log(tmp_path / "log.jsonl")
    before = path.read_bytes()
    with ChainWriter(path) as writer:

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
                writer.append([b"1"])
        assert path.read_bytes() == before
        writer.append([b"2"])
    assert verify_chain(path)[0] == 6


def test_an_action_is_recorded_with_who_when_what_and_why(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, clock=lambda: 0.0)
    log.append(actor="ann", action="approve", subject="fraud/3", reason="read the report")
    (entry,) = log.entries()
    assert entry.time == "1970-01-01T00:00:00.000+00:00"
    assert (entry.actor, entry.action, entry.subject, entry.reason) == (
        "ann",
        "approve",
        "fraud/3",
        "read the report",
    )
