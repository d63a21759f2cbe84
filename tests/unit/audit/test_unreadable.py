"""What cannot be read is neither sound nor empty: a verdict of its own, whatever else is verified."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serinus.chain import ChainWriter, find_logs, last_bodies, segments, verify_log
from serinus.cli import main
from serinus.errors import SerinusError
from serinus.home import Home
from tests.unit.audit.support import files, write

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of somebody whom permissions stop: root is nobody for as long as the test lasts."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(dir="/tmp" if root else None) as name:
        Path(name).chmod(0o777)
        if root:
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


def closed(log: Path) -> Path:
    """Its directory may be walked through, and not listed."""
    log.parent.chmod(0o300)
    return log


READERS: dict[str, Callable[[Path], object]] = {
    "segments": segments,
    "verify": verify_log,
    "newest": lambda log: last_bodies(log, 3),
    "find": lambda log: list(find_logs([log.parent])),
    "find below": lambda log: list(find_logs([log.parent.parent])),
    "write": ChainWriter,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_directory_that_cannot_be_listed_holds_no_empty_log(reader: str, place: Path) -> None:
    (place / "logs").mkdir()
    log = closed(write(place / "logs" / "log.jsonl", 20, rotate_bytes=800))
    log.unlink()  # between closing a segment and its successor's first entry: the segments are all there is
    with pytest.raises(SerinusError, match="SRN-AUDIT-010") as caught:
        READERS[reader](log)
    assert (caught.value.where, "Permission denied" in caught.value.what) == (str(log.parent), True)
    log.parent.chmod(0o700)
    assert verify_log(log).entries == 16


def test_of_a_writer_that_cannot_see_its_segments_no_second_chain_begins(place: Path) -> None:
    (place / "logs").mkdir()
    log = write(place / "logs" / "log.jsonl", 20, rotate_bytes=800)
    log.write_bytes(b"")
    with pytest.raises(SerinusError, match="SRN-AUDIT-010"):
        ChainWriter(closed(log))
    log.parent.chmod(0o700)
    assert log.read_bytes() == b""
    write(log, 1)
    assert verify_log(log).entries == 17


def test_behind_a_barred_way_nothing_is_absent(place: Path) -> None:
    (place / "logs").mkdir()
    log = write(place / "logs" / "deep" / "log.jsonl", 1)
    (place / "logs").chmod(0)
    with pytest.raises(SerinusError, match="SRN-AUDIT-010"):
        list(find_logs([log.parent]))
    (place / "logs").chmod(0o700)
    assert list(find_logs([log.parent])) == [log]


def test_a_directory_that_is_not_there_has_no_segments(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert segments(tmp_path / "absent" / "log.jsonl") == []
    assert segments(tmp_path / "file" / "log.jsonl") == []


# --- the command -------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    write(home.audit / "audit.jsonl", 3)
    write(home.decisions / "a.jsonl", 9, rotate_bytes=800)
    write(home.decisions / "b" / "b.jsonl", 2)
    return home


def bar(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    def barred(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".") -> Any:
            if Path(path) == directory:
                raise PermissionError(13, "Permission denied", str(directory))
            return real(path)

        return call

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, barred(getattr(os, name)))


def verified(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = main(["audit", "verify", "--home", str(home.root), "-o", "json", *arguments])
    printed = capsys.readouterr()
    return code, json.loads(printed.out), printed.err


@pytest.mark.parametrize(
    ("barred", "sound", "entries"),
    [(".", [True], 3), ("b", [True, True], 12)],
)
def test_the_others_are_verified_and_it_is_told(
    barred: str,
    sound: list[bool],
    entries: int,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar(monkeypatch, home.decisions / barred)
    code, found, _ = verified(home, capsys)
    assert (code, found["sound"], found["lost"]) == (1, None, [])
    assert [log["sound"] for log in found["logs"]] == sound
    assert sum(log["entries"] for log in found["logs"]) == entries
    (told,) = found["unreadable"]
    assert (told["code"], told["where"]) == ("SRN-AUDIT-010", str(home.decisions / barred))
    assert main(["audit", "verify", "--home", str(home.root)]) == 1
    printed = capsys.readouterr()
    assert "audit.jsonl: 3 entries, sound" in printed.out
    assert printed.err.count("SRN-AUDIT-010") == 1


def test_a_log_that_cannot_be_read_hides_no_finding_in_another(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = home.decisions / "b" / "b.jsonl"
    (home.audit / "audit.jsonl").unlink()
    (home.audit / "audit.jsonl").mkdir()
    code, found, _ = verified(home, capsys)
    assert (code, found["sound"], [e["code"] for e in found["unreadable"]]) == (1, None, ["SRN-AUDIT-004"])
    broken.write_bytes(broken.read_bytes().replace(b'{"n":1}', b'{"n":7}'))
    code, found, _ = verified(home, capsys)
    assert (code, found["sound"], len(found["unreadable"])) == (1, False, 1)
    assert [log["sound"] for log in found["logs"]] == [True, False]


def test_copies_of_checkpoints_that_cannot_be_looked_through_vouch_for_nothing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = tmp_path / "vault"
    assert main(["audit", "checkpoint", "--copy", str(vault), "--home", str(home.root)]) == 0
    capsys.readouterr()
    assert verified(home, capsys, "--checkpoints", str(vault))[0] == 0
    bar(monkeypatch, vault)
    code, found, _ = verified(home, capsys, "--checkpoints", str(vault))
    assert (code, found["sound"], found["unreadable"][0]["where"]) == (1, None, str(vault))


def test_in_a_log_that_can_be_listed_nothing_is_told(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, error = verified(home, capsys)
    assert (code, found["sound"], found["unreadable"], error) == (0, True, [], "")
    assert len(files(home.decisions / "a.jsonl")) > 1
