"""What a home keeps of its rollouts is told with a platform and without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from serinus.cli import main
from serinus.errors import SerinusError
from serinus.home import Home
from serving.local.desk import RolloutDesk
from serving.rollout.engine import new_status
from serving.rollout.spec import RolloutSpec
from serving.rollout.status import Entry, Phase, encode


def keep(home: Home, number: int, phase: Phase, *, ended: bool = True) -> None:
    """A rollout of version ``number`` as its files lie in the home."""
    directory = home.root / "platform" / "rollouts" / f"small-v{number}"
    directory.mkdir(parents=True)
    spec = RolloutSpec(model="small", candidate=str(number))
    status = new_status(
        spec, name=f"small-v{number}", champion="v1", candidate=f"v{number}", by="ann", now=float(number)
    )
    (directory / "status.json").write_bytes(encode(replace(status, phase=phase, old_stopped=ended)))
    entry = Entry(seq=1, at=1_790_000_000.0, phase=phase.value, reason="Told", message=f"this is v{number}")
    (directory / "events.jsonl").write_bytes(msgspec.json.encode(entry) + b'\n{"torn')


@pytest.fixture
def home(tmp_path: Path) -> Home:
    # In the other order than they began in: files are read as the directory has them.
    home = Home(tmp_path)
    keep(home, 3, Phase.ROLLED_BACK)
    keep(home, 2, Phase.PROMOTED)
    return home


def run(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["rollout", *arguments, "--home", str(home.root)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_last_history_needs_no_platform(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(home, capsys, "history")
    assert (code, err) == (0, "")
    assert out == "2026-09-21 14:13:20Z RolledBack 0 % Told: this is v3\n"
    assert json.loads(run(home, capsys, "history", "--output", "json")[1])[0]["message"] == "this is v3"


def test_one_that_cannot_be_read_is_told_of_and_hides_no_other(
    home: Home, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken = home.root / "platform" / "rollouts" / "small-v2" / "status.json"
    broken.write_text("{")
    code, out, _ = run(home, capsys, "history")
    assert (code, out.endswith("Told: this is v3\n")) == (0, True)
    (told,) = caplog.messages
    assert told.startswith(f"serinus: SRN-ROLLOUT-002 {broken}: ")
    assert [one["id"] for one in json.loads(run(home, capsys, "history", "--all", "-o", "json")[1])] == [
        "small-v3"
    ]
    broken.parent.with_name("small-v3").joinpath("status.json").write_text("")
    code, _, err = run(home, capsys, "history")
    assert (code, "SRN-ROLLOUT-002" in err, "rollouts/small-v" in err) == (1, True, True)


def test_all_histories_are_told_in_the_order_of_their_beginnings(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(home, capsys, "history", "--all")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines() if not line.startswith(" ")] == [
        "small-v2",
        "small-v3",
    ]
    listed = json.loads(run(home, capsys, "history", "--all", "--output", "json")[1])
    assert [(one["id"], one["phase"], len(one["history"])) for one in listed] == [
        ("small-v2", "Promoted", 1),
        ("small-v3", "RolledBack", 1),
    ]
    assert run(home, capsys, "history", "--all", "--context", "prod")[0] == 2


@pytest.mark.parametrize(
    ("phase", "code"), [(Phase.PROMOTED, 0), (Phase.ROLLED_BACK, 10), (Phase.ABORTED, 11), (Phase.FAILED, 12)]
)
def test_an_ended_rollout_has_its_exit_code_without_a_platform(
    phase: Phase, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(Home(tmp_path), 2, phase)
    found, out, _ = run(Home(tmp_path), capsys, "status")
    assert (found, out.startswith(f"small-v2: {phase.value}, ")) == (code, True)


def test_one_that_was_left_unfinished_stands_nowhere_without_a_platform(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(Home(tmp_path), 2, Phase.PROGRESSING, ended=False)
    code, _, err = run(Home(tmp_path), capsys, "status")
    assert (code, "SRN-PLATFORM-009" in err) == (1, True)
    assert run(Home(tmp_path), capsys, "history")[0] == 0


def test_without_any_rollout_that_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(Home(tmp_path), capsys, "history")
    assert (code, "SRN-ROLLOUT-005" in err) == (1, True)
    assert run(Home(tmp_path), capsys, "history", "--all")[1] == "There has been no rollout here.\n"


def test_a_platform_started_later_tells_of_the_last_one_and_commands_nothing(home: Home) -> None:
    desk = RolloutDesk(home, cast(Any, None), cast(Any, None), interval=1.0)
    assert desk.rollout_status().id == "small-v3"
    assert [entry.message for entry in desk.rollout_history()] == ["this is v3"]
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-008 .*the last one, small-v3, is RolledBack"):
        desk.approve("bob", reason="late")
