"""Commands ask the access policy before they do anything; and `serinus access` says what it would say."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from serinus.cli import main
from serinus.home import Home
from tests.support.bundles import small_bundle, small_home
from tests.unit.access.policies import BANK


@pytest.fixture
def home(tmp_path: Path) -> Home:
    from serinus.registry import Registry

    home = small_home(tmp_path)
    Registry(home).register(small_bundle(tmp_path), by="ben", owner="cards", run="r1")
    home.policy.write_text(BANK)
    return home


@pytest.mark.parametrize(
    ("command", "who", "refused", "role"),
    [
        (["audit", "export", "--for", "2026", "--out", "OUT/a.tar.gz"], "amy", "ann", "auditor"),
        (["audit", "checkpoint"], "amy", "ann", "auditor or operator"),
        (
            ["registry", "retire", "small", "1", "--reason", "x"],
            "pat",
            "ben",
            "approver or operator or validator",
        ),
        (["keys", "new", "--standby"], "pat", "ann", "operator"),
    ],
)
def test_a_command_is_refused_before_it_does_anything_and_obeyed_for_who_may(
    home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    who: str,
    refused: str,
    role: str,
) -> None:
    said = [part.replace("OUT", str(tmp_path)) for part in command] + ["--home", str(home.root)]
    assert main([*said, "--as", refused]) == 1
    error = capsys.readouterr().err
    assert "SRN-ACCESS-005" in error
    assert f"It takes the role {role}" in error
    assert not (tmp_path / "a.tar.gz").exists()
    assert main([*said, "--as", who]) == 0


def test_a_pipeline_is_not_begun_by_who_may_not(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["pipeline", "run", "--contract", "c.yaml", "--data", "d.csv", "--home", str(home.root)]
    assert main([*said, "--as", "vera"]) == 1
    assert "SRN-ACCESS-005" in "".join(capsys.readouterr())
    assert not list(home.runs.iterdir())


def test_the_policy_in_words_and_as_json(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--home", str(home.root)]
    assert main(["access", "show", *at]) == 0
    out = capsys.readouterr().out
    assert "Tier 1: one validator and one approver; a word holds for 30d" in out
    assert "group:modelling" in out
    assert main(["access", "show", "-o", "json", *at]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown["roles"]["reviewer"]["members"] == ["rita", "rob"]
    assert "review.answer" in shown["roles"]["reviewer"]["may"]
    assert main(["access", "explain", "rollout.approve", *at]) == 0
    assert "group:risk (vera, vic)" in capsys.readouterr().out
    assert main(["access", "check", "ann", "rollout.promote", *at]) == 1
    assert "It takes the role operator" in capsys.readouterr().out
    assert main(["access", "check", "ann", "fly"]) == 2


def test_a_policy_is_tried_before_it_is_in_force(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("apiVersion: serinus.io/v1\nkind: AccessPolicy\nroles: {operator: [ann]}\n")
    at = ["--home", str(home.root)]
    assert main(["access", "check", "ann", "rollout.promote", "--policy", str(other), *at]) == 0
    assert main(["access", "check", "ann", "rollout.promote", *at]) == 1
    other.write_text("roles: [")
    assert main(["access", "show", "--policy", str(other), *at]) == 1
    assert "SRN-ACCESS-001" in capsys.readouterr().err


def test_roles_are_lent_listed_and_taken_back(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--home", str(home.root)]
    lend = ["access", "delegate", "approver", "zoe", "--until", "7d", "--reason", "leave", *at]
    assert main([*lend, "--as", "zoe"]) == 1
    assert "SRN-ACCESS-006" in capsys.readouterr().err
    assert main([*lend, "--as", "oscar"]) == 0
    name = capsys.readouterr().out.split(":")[0]
    assert main(["access", "check", "zoe", "version.approve", *at]) == 0
    assert "lent by oscar" in capsys.readouterr().out
    assert main(["access", "delegations", "-o", "json", *at]) == 0
    (found,) = msgspec.json.decode(capsys.readouterr().out)
    assert (found["id"], found["state"], found["by"]) == (name, "in force", "oscar")
    assert main(["access", "revoke", name, "--reason", "back", "--as", "oscar", *at]) == 0
    assert main(["access", "check", "zoe", "version.approve", *at]) == 1
    assert main([*lend[:4], "--until", "whenever", "--reason", "x", *at]) == 2
