"""Killed between any two steps, out of space at any write: what was acknowledged stands, and the chain goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from serinus.chain import ChainWriter, Linker, read_chain, segments, verify_chain
from serinus.errors import SerinusError
from tests.unit.audit.support import Killed, abandon, kill_at, write


def bodies(log: Path) -> list[bytes]:
    return [bytes(entry.body) for entry in read_chain(log)]


@pytest.mark.parametrize("step", range(1, 30))
def test_a_kill_between_any_two_steps_loses_nothing_that_was_acknowledged(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    acknowledged: list[bytes] = []
    with monkeypatch.context() as patch:
        calls = kill_at(patch, step)
        writer = None
        try:
            writer = ChainWriter(log, rotate_bytes=500)
            for i in range(8):
                writer.append([b"%d" % i])
                acknowledged.append(b"%d" % i)
        except Killed:
            pass
        assert calls() == step
        if writer is not None:
            abandon(writer)
    with ChainWriter(log, rotate_bytes=500) as writer:
        found = bodies(log)
        assert found[: len(acknowledged)] == acknowledged
        assert len(found) <= len(acknowledged) + 1
        writer.append([b'"after"'])
    assert bodies(log) == [*found, b'"after"']


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("cut_fails", [False, True])
def test_a_disk_that_fills_in_mid_line_leaves_a_sound_chain_and_takes_up_again(
    share: float, cut_fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "log.jsonl", 3)
    real, room = os.write, [True]
    with ChainWriter(log) as writer:

        def full(descriptor: int, data: bytes | memoryview) -> int:
            part = bytes(data)[: int(len(data) * share)]
            if part and room.pop():
                room.append(False)
                return real(descriptor, part)
            raise OSError(errno.ENOSPC, "No space left on device")

        def broken(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        for _ in range(2):
            room[:] = [True]
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", full)
                if cut_fails:
                    patch.setattr(os, "ftruncate", broken)
                with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
                    writer.append([b'{"lost":1}', b'{"lost":2}'])
        assert writer.seq == 3
        writer.append([b'{"n":3}'])
    assert bodies(log) == [b'{"n":%d}' % n for n in range(4)]


def test_a_rotation_that_fails_halfway_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    real = Path.open
    with ChainWriter(log, rotate_bytes=1) as writer:
        writer.append([b"1"])

        def refuse(path: Path, *rest: object, **options: object) -> object:
            if path == log:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(path, *rest, **options)  # pyright: ignore

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            for _ in range(2):
                with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
                    writer.append([b"2"])
        assert [number for number, _ in segments(log)] == [1]
        writer.append([b"2"])
        writer.append([b"3"])
    assert bodies(log) == [b"1", b"2", b"3"]
    assert [number for number, _ in segments(log)] == [1, 2]


@pytest.mark.parametrize("rotate_bytes", [None, 1])
def test_what_a_failed_sync_may_have_lost_is_cut_and_comes_again(
    rotate_bytes: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that failed to write pages back forgets them, and a second sync would say that all is well."""
    log = write(tmp_path / "log.jsonl", 2)
    with ChainWriter(log, rotate_bytes=rotate_bytes) as writer:
        linker = Linker(writer.seq, writer.head)
        lines = linker.link([b"2", b"3"])
        writer.write(lines, linker.seq, linker.head, durable=False)
        assert (writer.seq, writer.safe) == (4, 2)
        with monkeypatch.context() as patch:

            def broken(_: int) -> None:
                raise OSError(errno.EIO, "Input/output error")

            patch.setattr(os, "fsync", broken)
            with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
                writer.sync()
        writer.sync()  # not believed
        assert writer.safe == 2
        more = linker.link([b"4"])
        with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
            writer.write(more, linker.seq, linker.head, durable=False)
        assert (writer.seq, writer.safe) == (2, 2)
        writer.write(lines + more, linker.seq, linker.head, durable=False)
        writer.sync()
        assert (writer.seq, writer.safe) == (5, 5)
    assert bodies(log) == [b'{"n":0}', b'{"n":1}', b"2", b"3", b"4"]


@pytest.mark.parametrize("pages", [1, 3])
def test_pages_that_a_power_cut_left_empty_are_cut(pages: int, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", 3)
    whole = log.read_bytes()
    with log.open("ab") as file:
        file.write(b'{"seq":4,"prev"' + bytes(4096 * pages) + b'"body":{}}\n{"seq":5}\n')
    assert verify_log_breaks(log)
    with ChainWriter(log) as writer:
        assert log.read_bytes() == whole
        writer.append([b'{"n":3}'])
    assert verify_chain(log)[0] == 4


def verify_log_breaks(log: Path) -> bool:
    try:
        verify_chain(log)
    except SerinusError:
        return True
    return False


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [(b'{"n":2}', b'{"n":7}', "the last entry was changed"), (b'"seq"', b'"sec"', "not an entry")],
)
def test_a_log_whose_last_entry_was_tampered_with_is_not_continued(
    old: bytes, new: bytes, what: str, tmp_path: Path
) -> None:
    log = write(tmp_path / "log.jsonl", 3)
    log.write_bytes(log.read_bytes().replace(old, new))
    with pytest.raises(SerinusError, match=what):
        ChainWriter(log)
    # Nor is it left locked.
    with pytest.raises(SerinusError, match=what):
        ChainWriter(log)


def test_a_segment_that_stands_in_the_way_is_not_overwritten(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with ChainWriter(log, rotate_bytes=1) as writer:
        writer.append([b"1"])
        (tmp_path / "log.000001.jsonl").write_text("someone else's")
        with pytest.raises(SerinusError, match="SRN-AUDIT-003"):
            writer.append([b"2"])
    assert (tmp_path / "log.000001.jsonl").read_text() == "someone else's"


def test_lines_that_do_not_follow_are_refused(tmp_path: Path) -> None:
    with ChainWriter(tmp_path / "log.jsonl") as writer, pytest.raises(ValueError, match="do not follow"):
        writer.write([b"x\n"], 7, "0" * 64)


def test_the_probe_tells_whether_the_disk_takes_writes_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChainWriter(tmp_path / "log.jsonl") as writer:
        writer.probe()

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
            writer.probe()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "log.jsonl.lock"]
