"""The root command: one clear line for an error, exit codes a script can use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from serinus.cli import main
from serinus.cli.main import Rooms
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = small_home(tmp_path)
    Registry(place).register(small_bundle(tmp_path), by="ann", owner="cards", run="r1")
    return place.root


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        ([], 0),
        (["--version"], 0),
        (["nonsense"], 2),
        (["registry", "list", "--nonsense"], 2),
        (["contract", "check", "absent.yaml"], 1),
    ],
)
def test_exit_codes_tell_success_failure_and_wrong_usage_apart(arguments: list[str], code: int) -> None:
    assert main(arguments) == code


def test_an_error_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contract", "check", "absent.yaml"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("serinus: SRN-CONTRACT-001 absent.yaml: ")
    assert "Traceback" not in printed.err


def test_versions_are_listed_for_people_and_for_scripts(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registry", "list", "--home", str(home)]) == 0
    assert "validated" in capsys.readouterr().out
    assert main(["registry", "list", "--home", str(home), "--output", "json"]) == 0
    (version,) = json.loads(capsys.readouterr().out)
    assert version["model"] == "small"


def test_own_approval_is_refused_and_a_second_ones_is_taken(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    approve = ["registry", "approve", "small", "1", "--reason", "read it", "--home", str(home)]
    assert main([*approve, "--as", "ann"]) == 1
    assert "SRN-APPROVAL-001" in capsys.readouterr().err
    assert main([*approve, "--as", "bob"]) == 0


def test_verify_finds_a_tampered_log(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", "--home", str(home)]) == 0
    log = home / "audit" / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"cards", b"carts"))
    assert main(["audit", "verify", "--home", str(home)]) == 1
    assert "line 1" in capsys.readouterr().err


def test_an_error_in_json_is_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "registry.db").write_bytes(b"not a database" * 100)
    assert main(["registry", "list", "--home", str(home), "--output", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "SRN-REGISTRY-001"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command below one, by the words that call it."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) is not None:
                yield from commands(found, (*path, name))


@pytest.mark.parametrize("path", commands(Rooms()), ids=" ".join)
def test_help_says_what_every_argument_and_option_is_for(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # so that no word is broken
    assert main([*path, "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    command: click.Command = Rooms()
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    assert "\\[" not in printed
    for parameter in command.params:
        says = str(getattr(parameter, "help", None) or "").split()
        assert says or isinstance(parameter, click.Argument), parameter.name
        assert set(says) <= set(printed.split()), parameter.name


def test_the_help_of_an_argument_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decisions", "show", "--help"]) == 0
    assert "The id that came with the answer" in capsys.readouterr().out
