"""``serinus watch``: exit codes, one frame or many, and nothing that ends it but its reader."""

from __future__ import annotations

import json

import pytest

from serinus.cli import main
from serinus.errors import SerinusError
from serving.local import watching
from serving.watch.terminal.samples import Samples
from serving.watch.terminal.sources import Read
from tests.unit.watch.terminal import ALL, page
from tests.unit.watch.test_terminal_sources import prometheus, server


def test_one_frame_of_a_prometheus_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with server(prometheus(["fraud"], [], [])) as url:
        asked = ["watch", "--once", "--prometheus", f"{url}/prefix"]
        assert main(asked) == 0
        assert capsys.readouterr().out.startswith("serinus watch  fraud  ")
        assert main([*asked, "--output", "json", "--model", "fraud"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
    frame = json.loads(line)
    assert (frame["models"], frame["alerts"], frame["rollouts"]) == (["fraud"], [], [])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--home", "/nonexistent"], 1, "SRN-PLATFORM-009"),
        (["--prometheus", "http://127.0.0.1:1"], 1, "SRN-WATCH-001"),
        (["--prometheus", "nowhere"], 1, "SRN-WATCH-002"),
        (["--interval", "soon"], 2, "--interval"),
        (["--over", "0s"], 2, "--over"),
    ],
)
def test_what_cannot_be_watched_ends_it_with_a_reason(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *arguments]) == code
    assert says in capsys.readouterr().err


class Flaky:
    """Answers, then fails, then answers, until its reader leaves."""

    alerts = False
    where = "test"

    def __init__(self) -> None:
        self.turn = 0

    def read(self, model: str | None) -> Read:
        self.turn += 1
        if self.turn == 2:
            raise SerinusError("SRN-WATCH-001", "Prometheus does not answer", hint="Wait.")
        if self.turn == 4:
            raise KeyboardInterrupt
        return Read(page(ALL), page("", at=900.0))


def test_a_stream_goes_on_when_a_frame_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        watching._stream(Flaky(), None, 0.0)
    first, failed, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["models"] == third["models"] == ["fraud"]
    assert failed["error"]["code"] == "SRN-WATCH-001"


def test_a_screen_stays_when_a_frame_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        watching._live(Flaky(), None, 0.0)
    assert "Traceback" not in "".join(capsys.readouterr())


def test_rates_of_one_frame_take_a_second_look_at_the_pages() -> None:
    class Pages:
        alerts = False
        where = "test"
        kept: Samples | None = None

        def read(self, model: str | None) -> Read:
            before, self.kept = self.kept, page(ALL, at=1000.0 if self.kept is None else 1002.0)
            return Read(self.kept, before)

    assert watching._once(Pages(), None, 0.0).over == 2.0
