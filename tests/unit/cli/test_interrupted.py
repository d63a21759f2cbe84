"""Commands that write, stopped at each of their writes: by Ctrl-C, or by a full disk.

Whatever they were at, there is no traceback, no half-written file, and the audit log verifies.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serinus.audit import AuditLog
from serinus.cli import main
from serinus.home import Home
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home

POLICY = """\
apiVersion: serinus.io/v1
kind: AccessPolicy
roles: {"*": ["*"], approver: [oscar]}
"""
COMMANDS: dict[str, list[str]] = {
    "report": ["report", "small", "--kind", "card", "--format", "json"],
    "inventory": ["inventory", "-o", "csv", "--out", "inventory.csv"],
    "export": ["audit", "export", "--for", "2020-01-01..2099-12-31", "--out", "archive.tar.gz"],
    "checkpoint": ["audit", "checkpoint"],
    "keys new": ["keys", "new"],
    "keys retire": ["keys", "retire", "KEY", "--reason", "rotation"],
    "keys export": ["keys", "export", "public"],
    "delegate": [
        "access",
        "delegate",
        "approver",
        "zoe",
        "--until",
        "7d",
        "--reason",
        "leave",
        "--as",
        "oscar",
    ],
    "review": ["registry", "review", "small", "1", "--outcome", "fit", "--reason", "read it", "--as", "vera"],
    "approve": ["registry", "approve", "small", "1", "--reason", "read it", "--as", "oscar"],
    "retire": ["registry", "retire", "small", "1", "--reason", "unused"],
}
CALLS = ("fsync", "replace", "write")


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = small_home(tmp_path)
    registry = Registry(home)
    registry.register(small_bundle(tmp_path), by="ann", owner="cards", run="r1")
    home.policy.write_text(POLICY)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return home


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", ".db", ".db-journal"))
    }


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("fault", "code"), [(interrupted, 130), (full, 1)], ids=["Ctrl-C", "a full disk"])
@pytest.mark.parametrize("name", COMMANDS)
def test_stopped_at_any_write_nothing_is_half_done(
    place: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    fault: Callable[..., None],
    code: int,
    call: str,
) -> None:
    line = list(COMMANDS[name])
    if "KEY" in line:
        (public,) = place.keys.glob("trusted-*.pem")
        assert main(["keys", "new", "--home", str(place.root)]) == 0
        line[line.index("KEY")] = public.stem.removeprefix("trusted-")
    real = getattr(os, call)
    ended = None
    for stop in range(1, 40):
        count = 0

        def counted(*arguments: Any, stop: int = stop, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == stop:
                fault()
            return real(*arguments, **more)

        before = files(place.root.parent)
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(os, call, counted)
            ended = main([*line, "--home", str(place.root)])
        error = capsys.readouterr().err
        assert "Traceback" not in error
        after = files(place.root.parent)
        left = [path for path in after.keys() - before.keys() if Path(path).name.startswith(".")]
        assert left == [], f"left behind at {call} {stop}"
        AuditLog(place.audit).verify()
        if count < stop:
            break  # it had no such write: it went through
        assert ended == code, f"at {call} {stop}: {error}"
        assert "interrupted" in error if code == 130 else "SRN-" in error
    assert ended in (0, 1)
