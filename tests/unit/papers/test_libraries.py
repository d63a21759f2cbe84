"""The software bill of materials: what the lock file demands for making and serving a model, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from serinus.papers.evidence import Evidence
from serinus.papers.libraries import LOCK, Library, locked_libraries
from serinus.papers.make import make
from serinus.papers.validation.report import SECTIONS
from tests.unit.papers.conftest import Made

SMALL = """
[[package]]
name = "serinus"
version = "1"
dependencies = [{ name = "near" }, { name = "elsewhere" }]
[package.optional-dependencies]
pipeline = [{ name = "maker", extra = ["fast"] }]
unused = [{ name = "never" }]
[[package]]
name = "near"
version = "2"
dependencies = [{ name = "far" }]
wheels = [
  { url = "https://x/near-2-cp312-cp312-manylinux_2_17_x86_64.whl", hash = "sha256:aa" },
  { url = "https://x/near-2-cp312-cp312-win_amd64.whl", hash = "sha256:bb" },
  { url = "https://x/near-2-cp311-cp311-manylinux_2_17_x86_64.whl", hash = "sha256:cc" },
]
[[package]]
name = "far"
version = "1"
dependencies = [{ name = "near" }]
sdist = { url = "https://x/far-1.tar.gz", hash = "sha256:dd" }
[[package]]
name = "far"
version = "9"
[[package]]
name = "maker"
version = "3"
[package.optional-dependencies]
fast = [{ name = "speed" }]
[[package]]
name = "speed"
version = "4"
[[package]]
name = "elsewhere"
version = "5"
[[package]]
name = "never"
version = "6"
"""
INSTALLED = {
    "near": ("2", "MIT"),
    "far": ("1", ""),
    "maker": ("3", "BSD"),
    "speed": ("4", "MIT"),
    "never": ("6", ""),
}


def digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_follows_the_lock_file_through_extras_and_loops_and_takes_only_what_is_there(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "uv.lock"
    lock.write_text(SMALL)
    found = locked_libraries(digest(lock), lock=lock, installed=INSTALLED.get)
    assert [(item.name, item.version) for item in found] == [
        ("far", "1"), ("maker", "3"), ("near", "2"), ("speed", "4"),
    ]  # fmt: skip
    far, maker, near, _ = found
    assert near.files == (("near-2-cp312-cp312-manylinux_2_17_x86_64.whl", "aa"),)
    assert far.files == (("far-1.tar.gz", "dd"),)
    assert (near.direct, far.direct, maker.direct) == (True, False, True)


@pytest.mark.parametrize("expected", [None, "sha256:0"])
def test_another_lock_file_tells_nothing_of_the_model(tmp_path: Path, expected: str | None) -> None:
    lock = tmp_path / "uv.lock"
    lock.write_text(SMALL)
    assert locked_libraries(expected, lock=lock, installed=INSTALLED.get) == ()
    assert locked_libraries("sha256:0", lock=tmp_path / "none") == ()


def test_of_this_repository_every_library_is_installed_at_its_locked_version_and_has_a_digest() -> None:
    found = {item.name: item for item in locked_libraries(digest(LOCK))}
    assert {"numpy", "lightgbm", "duckdb", "kfp", "matplotlib", "scipy"} <= set(found)
    assert "pytest" not in found, "development is not the run-time"
    for item in found.values():
        assert metadata.version(item.name) == item.version
        assert item.files, item.name
        assert all(len(sha) == 64 for _, sha in item.files)


def told(made: Made, libraries: tuple[Library, ...]) -> Evidence:
    evidence = made.outside
    assert evidence.standing is not None
    return dataclasses.replace(evidence, standing=dataclasses.replace(evidence.standing, libraries=libraries))


def test_the_card_for_machines_has_each_with_its_digests_and_is_valid(made: Made) -> None:
    libraries = locked_libraries(digest(LOCK))
    text = make(told(made, libraries), "card", "cyclonedx").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    parts = {item["name"]: item for item in json.loads(text)["components"] if item["type"] == "library"}
    assert sorted(parts) == sorted(item.name for item in libraries)
    for item in libraries:
        shown = [reference["hashes"][0]["content"] for reference in parts[item.name]["externalReferences"]]
        assert shown == [sha for _, sha in item.files]


def test_the_report_lists_them_or_says_why_not(made: Made) -> None:
    libraries = locked_libraries(digest(LOCK))
    found = SECTIONS[11](told(made, libraries))
    (listed,) = [b for b in found.blocks if getattr(b, "title", "") == "Software bill of materials"]
    assert len(listed.rows) == len(libraries)  # type: ignore[union-attr]
    assert any("is not here" in item for item in SECTIONS[11](told(made, ())).missing)
    assert any("`serinus report` adds it" in item for item in SECTIONS[11](made.inside).missing)
