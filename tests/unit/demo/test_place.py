"""A demo clears its own place only: not before its files are known to be there, and never under another's feet."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serinus.errors import SerinusError
from serinus.home import Home
from serving.local.demo.cases import MODELS, Case, check_files, read_config
from serving.local.demo.cli import app
from serving.local.demo.place import own_place

CONTRACT = MODELS / "fraud" / "contract.yaml"


def test_two_demos_of_one_case_do_not_share_a_place(tmp_path: Path) -> None:
    with own_place(Home(tmp_path), "fraud") as mine:
        (mine.root / "mine").touch()
        with pytest.raises(SerinusError, match="SRN-DEMO-006"), own_place(Home(tmp_path), "fraud"):
            pass
        assert (mine.root / "mine").exists()
        with own_place(Home(tmp_path), "credit") as other:
            assert other.root != mine.root
    with own_place(Home(tmp_path), "fraud") as mine:
        assert not (mine.root / "mine").exists()


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SerinusError, match="SRN-HOME-002"), own_place(Home(tmp_path / "file"), "fraud"):
        pass


def test_a_platform_that_was_left_up_is_not_swept_away(tmp_path: Path) -> None:
    platform = tmp_path / "demo" / "fraud" / "platform"
    platform.mkdir(parents=True)
    with (platform / "lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(SerinusError, match=r"SRN-PLATFORM-002.*4711.*serinus down --home"),
            own_place(Home(tmp_path), "fraud"),
        ):
            pass
        assert (platform / "lock").exists()
    with own_place(Home(tmp_path), "fraud"):
        assert not platform.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("training: [1", r"model.yaml line 1: the training config is not valid YAML \(expected "),
        ("- a list", "not a mapping"),
        ("", "not a mapping"),
    ],
)
def test_a_config_that_cannot_be_read_is_told_apart(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "model.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SerinusError, match=f"SRN-DEMO-005.*{says}"):
        read_config(path)


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (Case(name="own", contract=Path("none.yaml"), config=None, data=CONTRACT), "SRN-CONTRACT-001"),
        (Case(name="own", contract=CONTRACT, config=None, data=Path("none.csv")), "SRN-DATA-001"),
        (Case(name="own", contract=CONTRACT, config=Path("none.yaml"), data=CONTRACT), "SRN-DEMO-005"),
    ],
)
def test_a_file_that_is_not_there_costs_no_earlier_result(tmp_path: Path, case: Case, code: str) -> None:
    with pytest.raises(SerinusError, match=code):
        check_files(case)
    earlier = tmp_path / "demo" / "own" / "registry.db"
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    arguments = ["--home", str(tmp_path), "--contract", str(case.contract), "--data", str(case.data)]
    done = CliRunner().invoke(app, arguments + (["--config", str(case.config)] if case.config else []))
    assert isinstance(done.exception, SerinusError)
    assert done.exception.code == code
    assert earlier.exists()
