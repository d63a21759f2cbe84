"""``serinus report``: every paper in every form, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serinus.cli import main
from tests.unit.papers.conftest import Made, files


def run(capsys: pytest.CaptureFixture[str], made: Made, *arguments: str) -> tuple[int, str, str]:
    code = main(["report", *arguments, "--home", str(made.home.root)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize("kind", ["validation", "card", "fairness"])
@pytest.mark.parametrize(
    ("form", "begins"), [("html", b"<!doctype html>"), ("pdf", b"%PDF-"), ("json", b"{"), ("text", None)]
)
def test_a_paper_is_written_twice_the_same(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, form: str, begins: bytes | None
) -> None:
    found: list[bytes] = []
    for name in ("a", "b"):
        out = tmp_path / name
        assert run(capsys, made, "loans", "--kind", kind, "--format", form, "--out", str(out))[0] == 0
        found.append(out.read_bytes())
    assert found[0] == found[1]
    assert found[0].startswith(begins or (b"Validation report", b"Model card", b"Fairness report"))


def test_a_directory_takes_a_file_of_a_telling_name(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(
        capsys,
        made,
        "loans@1",
        "--kind",
        "card",
        "--format",
        "cyclonedx",
        "--out",
        str(tmp_path),
        "-o",
        "json",
    )
    assert code == 0
    assert files(tmp_path) == {"loans-1-card.cdx.json"}
    told = json.loads(out)
    assert told["bytes"] == (tmp_path / "loans-1-card.cdx.json").stat().st_size


def test_without_out_it_goes_to_the_homes_reports(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, made, "loans")[0] == 0
    assert "loans-1-validation.html" in files(made.home.reports)


def test_a_bundle_by_its_directory_needs_no_registry(
    made: Made, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = made.registry.get("loans").path
    code, out, _ = run(capsys, made, "--bundle", path, "--kind", "card", "--format", "json", "--out", "-")
    assert code == 0
    assert json.loads(out)["subject"] == "loans v1"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "SRN-PAPER-005"),
        (("loans", "--bundle", "x"), "SRN-PAPER-005"),
        (("nobody",), "SRN-REGISTRY-002"),
        (("loans@7",), "SRN-REGISTRY-002"),
        (("loans", "--format", "cyclonedx"), "SRN-PAPER-004"),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is(
    made: Made, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], code: str
) -> None:
    out = tmp_path / "paper"
    ended, _, error = run(capsys, made, *arguments, "--out", str(out))
    assert ended == 1
    assert code in error
    assert not out.exists()


def test_a_bundle_that_was_altered_gives_no_paper(
    made: Made, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(made.registry.get("loans").path, copy)
    (copy / "card.json").write_text("{}")
    code, _, error = run(capsys, made, "--bundle", str(copy), "--out", str(tmp_path / "p"))
    assert code == 1
    assert "SRN-BUNDLE-003" in error
