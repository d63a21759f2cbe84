"""What cannot be done is one clear line with an exit code, never a traceback, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serinus.bundle import SigningKey
from serinus.cli import main
from serinus.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.root.mkdir()
    return made


def run(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main([*arguments, "--home", str(home.root)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_keys_are_not_copied_into_what_is_no_directory(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SigningKey.load_or_create(home.keys)
    (tmp_path / "file").touch()
    code, printed = run(home, capsys, "keys", "export", str(tmp_path / "file" / "keys"))
    assert (code, "SRN-HOME-002" in printed) == (1, True)


def test_a_platform_whose_log_cannot_be_written_does_not_start(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.root / "platform").touch()
    code, printed = run(home, capsys, "up")
    assert (code, "SRN-HOME-002" in printed) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--bundle", "nowhere"], "there is no directory nowhere"),
        (["1", "--bundle", "."], "give --bundle or the version 1, not both"),
        (["--port", "99999"], "99999 is not in the range"),
    ],
)
def test_up_says_what_of_its_arguments_is_wrong(
    arguments: list[str], why: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = run(home, capsys, "up", *arguments)
    assert (code, why in printed) == (2, True)
    assert list(home.root.iterdir()) == []


def test_without_a_log_no_checkpoint_is_signed_and_no_key_made(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, capsys, "audit", "checkpoint") == (0, f"There is no log yet in {home.root}.\n")
    assert not (home.root / "keys" / "signing.pem").exists()
    assert run(home, capsys, "audit", "list")[1] == f"No action is recorded yet in {home.root}.\n"


def test_a_file_that_is_no_key_is_not_trusted(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.pem").write_text("no key")
    code, printed = run(home, capsys, "keys", "trust", str(tmp_path / "key.pem"))
    assert (code, "SRN-KEY-001" in printed, "Give an ed25519 key in PEM" in printed) == (1, True, True)


def test_down_in_json_says_whether_something_ran(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, capsys, "down", "-o", "json") == (0, '{"stopped":false}\n')
    assert list(home.root.iterdir()) == []


STOPPED_WHILE_IT_READS = """
import sys
class Stop:
    def find_spec(name, path, target=None):
        if name == "serinus.cli.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop)
from serinus.start import run
run()
"""


def test_stopped_while_libraries_are_read_is_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_WHILE_IT_READS], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "serinus: interrupted\n")
