"""``serinus registry due`` and its kin: what a cron job and a reader see."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home
from tests.unit.access.policies import BANK


def installed(tmp_path: Path, days_ago: float) -> list[str]:
    home = small_home(tmp_path)
    registry = Registry(home, clock=lambda: time.time() - days_ago * 86400)
    registry.register(small_bundle(tmp_path), by="ann", owner="cards", run="r1")
    registry.set_stage("small", 1, "champion", by="bob", reason="first")
    return ["--home", str(home.root)]


def test_nobody_reviews_what_they_built_through_somebody_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = installed(tmp_path, 10)
    lend = ["access", "delegate", "validator", "zoe", "--until", "1d", "--reason", "leave", *home]
    done = ["registry", "review", "small", "champion", "--outcome", "fit", "--reason", "read", *home]
    policy = BANK.replace("validator: [group:risk, dora]", "validator: [ann, vera]")
    small_home(tmp_path).policy.write_text(policy)
    assert main([*lend, "--as", "ann"]) == 0
    assert main([*done, "--as", "zoe"]) == 1
    assert "in a role lent by ann, who built it" in capsys.readouterr().err
    assert main([*lend[:3], "zed", *lend[4:], "--as", "vera"]) == 0
    assert main([*done, "--as", "zed"]) == 0


@pytest.mark.parametrize(("days_ago", "code", "overdue"), [(10, 0, 0), (400, 1, 1)])
def test_the_exit_code_tells_whether_something_is_overdue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days_ago: float, code: int, overdue: int
) -> None:
    home = installed(tmp_path, days_ago)
    assert main(["registry", "due", *home]) == code
    assert ("OVERDUE" in capsys.readouterr().out) is bool(overdue)
    assert main(["registry", "due", *home, "-o", "json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert (found["overdue"], found["versions"][0]["model"]) == (overdue, "small")


def test_a_mistyped_model_is_not_quietly_never_due(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = installed(tmp_path, 10)
    assert main(["registry", "due", "smal", *home, "-o", "json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"]["code"] == "SRN-REGISTRY-002"
    assert "Did you mean small?" in printed.err
    assert main(["registry", "due", "small", *home]) == 0


def test_a_review_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = installed(tmp_path, 400)
    done = ["registry", "review", "small", "champion", "--outcome", "fit", "--reason", "read", *home]
    assert main([*done, "--as", "ann"]) == 1
    assert "SRN-REVIEW-002" in capsys.readouterr().err
    assert main([*done, "--as", "bob"]) == 0
    assert main(["registry", "due", *home]) == 0
    assert main(["registry", "show", "small", *home]) == 0
    assert "reviewed by bob" in capsys.readouterr().out


def test_a_changed_law_asks_for_a_review_of_every_version_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = installed(tmp_path, 10)
    ask = ["registry", "trigger", "--all", "--kind", "policy", "--reason", "a new rule", *home]
    assert main([*ask, "--due", "2020-01-01"]) == 0
    assert "small/1 is to be reviewed by 2020-01-01" in capsys.readouterr().out
    assert main(["registry", "due", *home]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["trigger", "small", "--all", "--reason", "x"],
        ["trigger", "--reason", "x"],
        ["trigger", "small", "--kind", "date", "--reason", "x"],
        ["trigger", "small", "--kind", "weather", "--reason", "x"],
        ["trigger", "small", "--due", "soon", "--reason", "x"],
        ["review", "small", "1", "--outcome", "splendid", "--reason", "x"],
    ],
)
def test_what_makes_no_sense_is_wrong_usage(tmp_path: Path, wrong: list[str]) -> None:
    assert main(["registry", *wrong, *installed(tmp_path, 10)]) == 2
