"""Around a program's command: errors that a user can meet, and durations that are flags."""

import pytest
import typer

from serinus.errors import SerinusError
from serinus.program import duration_of, run_program


def test_an_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def app(*, standalone_mode: bool) -> None:
        raise SerinusError("SRN-HOME-001", "the disk is full", where="/data", hint="Free space.")

    with pytest.raises(SystemExit) as ended:
        run_program(app)
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith("serinus: ")
    assert "SRN-HOME-001" in told.err


def test_what_is_no_such_error_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_program(lambda *, standalone_mode: 1 // 0)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["redis://ann:pw-typed@cache"], "Got unexpected extra argument (redis://ann:***@cache)"),
        (["--port", "token=pw-typed"], "'token=***' is not a valid int"),
        (["--x-password=pw-typed"], "No such option"),
    ],
)
def test_wrong_usage_is_told_without_the_secrets_that_were_typed(
    typed: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer(add_completion=False)

    @app.command()
    def serve(port: int = 0) -> None: ...

    monkeypatch.setattr("sys.argv", ["serve", *typed])
    with pytest.raises(SystemExit) as ended:
        run_program(app)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert told in said
    assert said.startswith("Usage: ")
    assert "pw-typed" not in said


@pytest.mark.parametrize("code", [0, 1])
def test_the_exit_code_is_the_programs(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(add_completion=False)

    @app.command()
    def serve() -> None:
        raise typer.Exit(code)

    monkeypatch.setattr("sys.argv", ["serve"])
    if not code:
        run_program(app)
        return
    with pytest.raises(SystemExit) as ended:
        run_program(app)
    assert ended.value.code == code


def test_a_duration_is_seconds_or_an_error_that_names_its_flag() -> None:
    assert duration_of("--look", "5m", code="SRN-DRIFT-004", hint="For example 5m.") == 300
    with pytest.raises(SerinusError) as caught:
        duration_of("--look", "soon", code="SRN-DRIFT-004", hint="For example 5m.")
    assert (caught.value.code, caught.value.where) == ("SRN-DRIFT-004", "--look")
