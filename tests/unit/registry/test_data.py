"""The records of a version are known by their content, wherever a copy of them lies."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from serinus.bundle import SigningKey, write_bundle
from serinus.cli import main
from serinus.registry import Registry
from tests.support.bundles import small_home, small_parts

JUNE, JULY = b"id,amount\n1,5\n", b"id,amount\n1,5\n2,6\n"


@pytest.fixture
def home(tmp_path: Path) -> list[str]:
    """Versions 1 and 2 of June's records, 3 of July's, 4 of nobody knows what."""
    place = small_home(tmp_path)
    registry = Registry(place)
    for version, content in ((1, JUNE), (2, JUNE), (3, JULY), (4, b"")):
        parts = small_parts(version=version)
        if content:
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            parts.provenance["data"] = {
                "digest": digest,
                "rows": content.count(b"\n") - 1,
                "first": "2026-06-01",
            }
        bundle = write_bundle(place.bundles, parts, SigningKey.load_or_create(place.keys))
        registry.register(bundle, by="ann", owner="cards", run="r", source=f"s3://records/{version}.csv")
    return ["--home", str(place.root)]


@pytest.mark.parametrize(
    ("content", "arguments", "code", "says"),
    [
        (JUNE, ["--version", "small/1"], 0, "small/1, small/2 was trained on"),
        (JULY, ["--version", "small/3"], 0, "small/3"),
        (JULY, [], 0, "small/3"),
        (JULY, ["--version", "small/1"], 1, "it is what small/3 was trained on"),
        (b"other", ["--version", "small/1"], 1, "nobody knows it"),
        (b"other", [], 1, "nobody knows it"),
        (b"other", ["--digest", "sha256:" + hashlib.sha256(b"other").hexdigest()], 0, "is sha256:"),
        (JUNE, ["--version", "small/latest"], 1, "does not say what it was trained on"),
        (JUNE, ["--version", "small/9"], 1, "SRN-REGISTRY-002"),
        (
            JUNE,
            ["--version", "small"],
            2,
            "is not MODEL/VERSION, such as credit/3 or credit/champion (models: small)",
        ),
        (JUNE, ["--version", "champion"], 2, "is not MODEL/VERSION"),
        (JUNE, ["--version", "small@9"], 1, "SRN-REGISTRY-002"),
        (JUNE, ["--digest", "abc"], 2, "hexadecimal"),
        (None, ["--version", "small/1"], 1, "SRN-REGISTRY-009"),
    ],
)
def test_a_file_is_held_to_a_versions_records(
    home: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    content: bytes | None, arguments: list[str], code: int, says: str,
) -> None:  # fmt: skip
    file = tmp_path / "copy.csv"
    if content is not None:
        file.write_bytes(content)
    assert main(["data", "verify", str(file), *arguments, *home]) == code
    printed = capsys.readouterr()
    assert says in printed.out + printed.err


def test_each_content_is_listed_once_with_its_versions_and_places(
    home: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list", "-o", "json", *home]) == 0
    july, june = json.loads(capsys.readouterr().out)
    assert (june["versions"], june["rows"]) == (["small/1", "small/2"], 1)
    assert june["sources"] == ["s3://records/1.csv", "s3://records/2.csv"]
    assert (july["versions"], july["first"]) == (["small/3"], "2026-06-01")
    assert main(["data", "list", *home]) == 0
    assert "s3://records/3.csv" in capsys.readouterr().out
