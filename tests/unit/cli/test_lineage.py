"""``serinus lineage``: what is printed, and what an error teaches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.lineage import backend, journal
from serinus.lineage.backend import MemoryBackend
from tests.unit.lineage.home import RAW, installation
from tests.unit.lineage.support import Failing, told


@pytest.fixture
def home(tmp_path: Path) -> list[str]:
    made, _ = installation(tmp_path)
    return ["--home", str(made.root)]


@pytest.mark.parametrize("target", ["small", "small@1", "small@v1", "small@champion", "small@latest"])
def test_a_model_is_drawn_from_its_records_to_its_stage(
    home: list[str], capsys: pytest.CaptureFixture[str], target: str
) -> None:
    assert main(["lineage", target, *home]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"/data/tx.csv  {RAW}"
    assert lines[-1].strip(" └─").startswith("champion  at ")
    assert [line for line in lines if "2 of 3 demands pass" in line]
    assert max(map(len, lines)) > 80, "no line is cut at the width of a terminal"


def test_show_may_be_said(home: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", "show", "small", *home, "-o", "json"]) == 0
    graph = json.loads(capsys.readouterr().out)
    assert (graph["model"], graph["version"], graph["nodes"][0]["digest"]) == ("small", 1, RAW)


@pytest.mark.parametrize(
    ("output", "begins"), [("mermaid", "flowchart TD"), ("dot", "digraph"), ("svg", "<svg")]
)
def test_pictures_go_to_stdout_alone(
    home: list[str], capsys: pytest.CaptureFixture[str], output: str, begins: str
) -> None:
    assert main(["lineage", "small", *home, "-o", output]) == 0
    assert capsys.readouterr().out.startswith(begins)


def test_a_digest_and_a_column_are_answered(home: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", "abababab", *home]) == 0
    assert "champion" in capsys.readouterr().out
    assert main(["lineage", "small", "--column", "amount", *home]) == 0
    assert "made of" in capsys.readouterr().out
    assert main(["lineage", RAW, *home, "-o", "svg"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fraud"], "SRN-REGISTRY-002"),
        (["small@9"], "Registered: 1 (champion)"),
        (["small", "--column", "amuont"], "Did you mean amount?"),
        (["sha256:12345678"], "SRN-LINEAGE-005"),
        (["./absent.csv"], "SRN-LINEAGE-005"),
    ],
)
def test_errors_teach(
    home: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["lineage", *arguments, *home]) == 1
    assert says in capsys.readouterr().err


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    made = MemoryBackend()
    monkeypatch.setattr("serinus.cli.lineage_send.open_backend", lambda: made)
    monkeypatch.setenv("OPENLINEAGE_URL", "http://marquez:5000")
    return made


def test_send_brings_runs_and_stages_once_and_again_when_asked(
    home: list[str], receiver: MemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lineage", "send", *home]) == 0
    assert "20 events sent to http://marquez:5000" in capsys.readouterr().out
    jobs = [event.job.name for event in receiver.events]
    assert (jobs.count("small.registry"), len(jobs)) == (6, 20)
    assert main(["lineage", "send", *home, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["sent"] == 0
    assert main(["lineage", "send", "--again", *home]) == 0
    assert len(receiver.events) == 40


def test_send_says_what_was_not_taken(
    home: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = Failing()
    monkeypatch.setattr("serinus.cli.lineage_send.open_backend", lambda: failing)
    monkeypatch.setenv("OPENLINEAGE_URL", "http://marquez:5000")
    journal.append(Path(home[1]) / "lineage" / "r0.ndjson", told("refused"), told("down"))
    assert main(["lineage", "send", *home]) == 1
    said = capsys.readouterr().err
    assert "took 0 events and no more (ConnectionRefusedError" in said
    assert "refused 1 event: not sent again" in said


def test_a_pods_log_can_be_sent(tmp_path: Path, home: list[str], receiver: MemoryBackend) -> None:
    log = tmp_path / "pod.log"
    log.write_text("serinus: 1 lineage events were not sent\n")
    journal.append(log, told("a"))
    assert main(["lineage", "send", str(log), *home]) == 0
    assert [event.job.name for event in receiver.events] == ["a"]
    assert not log.with_suffix(".sent").exists()
    assert main(["lineage", "send", str(tmp_path / "absent"), *home]) == 1


def test_without_a_backend_send_says_how_to_name_one(
    home: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backend, "configured", lambda: "")
    assert main(["lineage", "send", *home]) == 1
    assert "SRN-LINEAGE-001" in capsys.readouterr().err
