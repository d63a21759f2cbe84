"""A mistyped home is told by every command that makes none, and is not made; a mistyped command is understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.cli import main
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home
from tests.unit.cli.tree import leaves

MAKERS = {
    "demo": "the first run of all",
    "down": "nothing runs there, which is what was asked for",
    "keys new": "a key may be the first thing that there is",
    "keys trust": "so may another's",
    "lineage send": "sends what it is given; its own only without files",
    "pipeline run": "what registers the first version",
    "pipeline compile": "writes a file; it has no home",
    "pipeline steps": "tells of the code; it has no home",
    "pipeline submit": "runs on a server; it has no home",
    "contract check": "reads a file; it has no home",
    "up": "serves a bundle that it is given",
    "watch": "says of what is absent that it is",
}
"""Commands that may make a home, or have none; and why."""
WORDS = {
    "access check": ["ann", "rollout.start"],
    "access explain": ["rollout.start"],
    "access delegate": ["approver", "zoe", "--reason", "leave", "--until", "7d"],
    "access revoke": ["d-1", "--reason", "back"],
    "access rbac": ["--namespace", "models"],
    "audit export": ["--for", "2026-Q3"],
    "bundle verify": ["bundle"],
    "bundle push": ["bundle", "--to", "file:///nowhere"],
    "bundle pull": ["file:///nowhere/bundle", "--to", "here"],
    "data verify": ["a.csv"],
    "decisions show": ["r-1"],
    "explain": ["r-1"],
    "keys use": ["ab12"],
    "keys retire": ["ab12", "--reason", "rotation"],
    "keys export": ["out"],
    "lineage show": ["fraud"],
    "notice": ["r-1", "--applied", "2026-11-02"],
    "privacy copy": ["copy.db"],
    "privacy erase": ["ann", "--reason", "case 7"],
    "privacy hold": ["ann", "--reason", "a dispute"],
    "privacy release": ["ann", "--reason", "it ended"],
    "privacy seal": ["a.jsonl", "b.jsonl"],
    "privacy show": ["ann"],
    "registry approve": ["fraud", "1", "--reason", "read"],
    "registry retire": ["fraud", "1", "--reason", "old"],
    "registry review": ["fraud", "1", "--outcome", "fit", "--reason", "read"],
    "registry send": ["fraud", "--to", "https://records.example"],
    "registry show": ["fraud"],
    "registry trigger": ["fraud", "--reason", "law"],
    "report": ["fraud"],
    "review answer": ["r-1", "--answer", "good", "--reason", "read"],
    "review release": ["r-1"],
    "review show": ["r-1"],
}
"""What else a command asks for."""
READERS = sorted(
    name for name, _ in leaves() if name not in MAKERS and not name.startswith(("rollout", "status"))
)


@pytest.mark.parametrize("name", READERS)
def test_a_mistyped_home_is_told_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    (tmp_path / "a.csv").touch()
    assert main([*name.split(), *WORDS.get(name, []), "--home", "mistyped"]) == 1
    assert f"SRN-HOME-003 {tmp_path / 'mistyped'}: no installation is there" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("name", ["status", "rollout status", "rollout history"])
def test_where_nothing_can_run_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main([*name.split(), "--home", str(tmp_path / "mistyped")]) == 1
    assert "SRN-PLATFORM-009" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_names_no_home_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERINUS_HOME", str(tmp_path / "gone"))
    assert main(["registry", "list"]) == 1
    assert "SRN-HOME-003" in capsys.readouterr().err
    assert main(["access", "show"]) == 1


def test_the_built_in_policy_is_shown_where_there_is_no_installation_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SERINUS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["access", "show"]) == 0
    assert "built in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("registri", "'registry'"), ("rolout", "'rollout'"), ("audits", "'audit'"), ("xyzzy", None)],
)
def test_a_mistyped_command_is_understood_but_not_run(
    capsys: pytest.CaptureFixture[str], typed: str, meant: str | None
) -> None:
    assert main([typed, "list"]) == 2
    error = capsys.readouterr().err
    assert f"No such command '{typed}'." in error
    assert f"Did you mean {meant}" in error if meant else "Did you mean" not in error


def test_a_model_that_is_not_registered_is_told_from_an_empty_registry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = small_home(tmp_path)
    home.root.mkdir()
    assert main(["registry", "list", "smal", "--home", str(home.root)]) == 0
    assert "`serinus pipeline run` builds" in capsys.readouterr().out
    Registry(home).register(small_bundle(tmp_path), by="ann", owner="cards", run="r1")
    assert main(["registry", "list", "smal", "--home", str(home.root)]) == 0
    assert "No version of smal is registered here; registered models: small." in capsys.readouterr().out


@pytest.mark.parametrize("command", ["registry list", "inventory", "audit verify", "registry show fraud"])
def test_who_looks_for_the_demos_versions_elsewhere_is_shown_where_they_are(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*command.split(), "--home", str(tmp_path)]
    main(arguments)
    assert "serinus demo" not in "".join(capsys.readouterr())
    left = tmp_path / "demo" / "fraud"
    left.mkdir(parents=True)
    (left / "registry.db").touch()
    main(arguments)
    assert f"What `serinus demo` left is in a home of its own: --home {left}." in "".join(capsys.readouterr())
