"""An error carries code, place and remedy; every code in the source is documented."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from serinus.durations import format_duration, parse_duration
from serinus.errors import SerinusError

ROOT = Path(__file__).parents[3]


def test_an_error_reads_as_one_line() -> None:
    error = SerinusError("SRN-DATA-001", "the file is empty", where="a.csv", hint="Give one with rows.")
    assert str(error) == "SRN-DATA-001 a.csv: the file is empty. Give one with rows."


def test_an_error_survives_the_way_between_processes() -> None:
    error = SerinusError("SRN-DATA-001", "empty", where="a.csv", hint="Give rows.")
    assert pickle.loads(pickle.dumps(error)).to_dict() == error.to_dict()


@pytest.mark.parametrize(("code", "hint"), [("DATA-1", "x"), ("SRN-DATA-1", "x"), ("SRN-DATA-001", "")])
def test_an_error_without_code_or_remedy_cannot_be_raised(code: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r"SRN|hint"):
        SerinusError(code, "x", hint=hint)


def test_every_code_in_the_source_is_documented_and_the_other_way_round() -> None:
    source = {
        code
        for room in ("serinus", "components", "pipelines", "serving")
        for path in (ROOT / room).rglob("*.py")
        for code in re.findall(r'"(SRN-[A-Z]+-\d{3})"', path.read_text())
    }
    documented = {
        code
        for path in (ROOT / "docs" / "errors").glob("*.md")
        for code in re.findall(r"^## (SRN-[A-Z]+-\d{3})", path.read_text(), flags=re.MULTILINE)
    }
    assert source - documented == set(), "raised but not in docs/errors"
    assert documented - source == set(), "in docs/errors but never raised"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604800), ("250ms", 0.25), ("2w", 1209600)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "7 days", "1d2h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
