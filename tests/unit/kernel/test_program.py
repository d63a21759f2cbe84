"""Around a program's command: errors that a user can meet, and durations that are flags."""

import pytest

from serinus.errors import SerinusError
from serinus.program import duration_of, run_program


def test_an_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def app() -> None:
        raise SerinusError("SRN-HOME-001", "the disk is full", where="/data", hint="Free space.")

    with pytest.raises(SystemExit) as ended:
        run_program(app)
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith("serinus: ")
    assert "SRN-HOME-001" in told.err


def test_what_is_no_such_error_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_program(lambda: 1 // 0)


def test_a_duration_is_seconds_or_an_error_that_names_its_flag() -> None:
    assert duration_of("--look", "5m", code="SRN-DRIFT-004", hint="For example 5m.") == 300
    with pytest.raises(SerinusError) as caught:
        duration_of("--look", "soon", code="SRN-DRIFT-004", hint="For example 5m.")
    assert (caught.value.code, caught.value.where) == ("SRN-DRIFT-004", "--look")
