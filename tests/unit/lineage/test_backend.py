"""Which backend is configured: where OpenLineage's own client looks, and said without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.lineage.backend import configured, open_backend


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".openlineage").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "files", "found"),
    [
        ({}, [], ""),
        ({"OPENLINEAGE_URL": "http://marquez:5000"}, [], "http://marquez:5000"),
        ({"OPENLINEAGE_URL": "https://ann:secret@ol.example/x?key=1"}, [], "https://ol.example/x"),
        ({"OPENLINEAGE_URL": "http://marquez:5000", "OPENLINEAGE_DISABLED": "true"}, [], ""),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "kafka"}, [], "the transport kafka"),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "http", "OPENLINEAGE__TRANSPORT__URL": "http://a"}, [], "http://a"),
        ({}, ["here/openlineage.yml"], "here/openlineage.yml"),
        ({}, ["home/.openlineage/openlineage.yml"], "home/.openlineage/openlineage.yml"),
        ({"OPENLINEAGE_CONFIG": "other.yml"}, ["other.yml"], "other.yml"),
        ({"OPENLINEAGE_CONFIG": "absent.yml"}, [], ""),
    ],
)
def test_the_backend_is_found_where_the_client_looks(
    place: Path, environment: dict[str, str], files: list[str], found: str
) -> None:
    for name in files:
        (place / name).write_text("transport: {type: console}\n")
    given = {**environment, "HOME": str(place / "home")}
    if "OPENLINEAGE_CONFIG" in given:
        given["OPENLINEAGE_CONFIG"] = str(place / given["OPENLINEAGE_CONFIG"])
    assert configured(given, place / "here") == (str(place / found) if files else found)


def test_without_one_the_error_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.chdir(place / "here")
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    with pytest.raises(SerinusError, match="SRN-LINEAGE-001.*OPENLINEAGE_URL"):
        open_backend()


def test_a_wrong_configuration_is_said_with_its_place(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    config = place / "openlineage.yml"
    config.write_text("transport: {type: pigeon}\n")
    monkeypatch.chdir(place / "here")
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(config))
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    with pytest.raises(SerinusError, match="SRN-LINEAGE-003") as raised:
        open_backend()
    assert raised.value.where == str(config)
