"""Flags of the scorer and its feeder: what is wrong with one, and that help and documentation know them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.scorer import feed
from serving.scorer.config import parse

DOCUMENTED = (Path(__file__).parents[3] / "docs" / "scorer.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--port x", "--port: x is not a port (0 to 65535)"),
        ("--batch-threads 1.5", "--batch-threads: 1.5 is not a whole number above 0"),
        ("--drain-timeout nan", "--drain-timeout: nan is not a number of seconds (0 to 3600)"),
        ("--store-timeout 0", "--store-timeout: 0 is not a number of seconds (above 0, to 3600)"),
        ("--explain-sample much", "--explain-sample: much is not a share (0 to 1)"),
        ("--max-body 4MB", "--max-body: 4MB is not a size such as 65536, 512KiB, 256MiB or 1GiB"),
        ("--log-interval 5m", "--log-interval: 5m is not between 1ms and 60s"),
        ("--log-rotate-every soon", "--log-rotate-every: 'soon' is not a duration"),
        ("--store redis://r --features-warm f", "--features-warm: goes with --store memory"),
    ],
)
def test_a_wrong_flag_is_told_in_plain_words(
    flags: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["--bundle", "b", *flags.split()], {})
    assert f"error: argument {says}" in capsys.readouterr().err


def test_a_wrong_choice_in_the_environment_exits_with_2_and_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--bundle", "b"], {"SERINUS_DURABILITY": "careful"})
    assert caught.value.code == 2
    assert "--durability: careful from the environment is none of strict, relaxed" in capsys.readouterr().err


def test_help_and_documentation_name_every_flag_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"], {})
    flags = re.findall(r"^  (--[a-z-]+)(.*?)(?=^  --|^\S|\Z)", capsys.readouterr().out, re.S | re.M)
    assert len(flags) > 35
    for flag, says in flags:
        assert f"| `{flag}" in DOCUMENTED, flag
        assert "(default: " in " ".join(says.split()) or flag in ("--untrusted", "--reuse-port"), flag


def test_the_documentation_names_no_flag_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"], {})
    helped = capsys.readouterr().out
    documented = re.findall(r"^\| `(--[a-z-]+)", DOCUMENTED, re.M)
    assert documented
    assert [flag for flag in documented if f"  {flag}" not in helped] == []


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--store memory --contract c --records -", "--store: memory is not shared; give redis://"),
        ("--store redis://r --contract c --records - --batch 0", "--batch: 0 is not a whole number above 0"),
        ("--store redis://r --contract c --records - --patience nan", "--patience: nan is not a number of"),
        ("--store redis://r --contract c --records a.csv.gz --follow", "--follow: goes with JSON lines"),
    ],
)
def test_a_wrong_flag_of_the_feeder_is_told_as_plainly(
    flags: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        feed.main(flags.split(), {})
    assert caught.value.code == 2
    assert f"error: argument {says}" in capsys.readouterr().err
