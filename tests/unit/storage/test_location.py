"""What is a URI of a store, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.storage import DirectoryStore, open_store, parse_location


@pytest.mark.parametrize(
    ("text", "bucket", "path"),
    [
        ("s3://models", "models", ""),
        ("s3://models/", "models", ""),
        ("s3://my.models-2/bundles/abc/", "my.models-2", "bundles/abc"),
        ("file:///mnt/models", "", "/mnt/models"),
        ("file://localhost/mnt/models/", "", "/mnt/models"),
    ],
)
def test_a_uri_is_read(text: str, bucket: str, path: str) -> None:
    found = parse_location(text)
    assert (found.bucket, found.path) == (bucket, path)
    assert parse_location(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "models/bundles", "/mnt/models", "http://models/x", "gs://models/x", "s3://", "s3:///x", "s3://Models/x",
        "s3://a/x", "s3://user:secret@models/x", "s3://models:9000/x", "s3://models/../x", "s3://models/a//b",
        "s3://models/x?versionId=1", "s3://models/x#1", "file://mnt/models", "file:///", "file:///a/../b", "s3://models/a\nb",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SerinusError, match="SRN-STORE-001"):
        parse_location(text)


def test_parts_of_a_location() -> None:
    place = parse_location("s3://models/bundles")
    assert str(place / "abc") == "s3://models/bundles/abc"
    assert ((place / "abc").name, (place / "abc").parent) == ("abc", place)
    assert str(parse_location("s3://models") / "abc") == "s3://models/abc"


def test_a_volume_reads_and_writes_whole_files(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/models")
    assert isinstance(store, DirectoryStore)
    assert store.size("a/x") is None
    store.write("a/x", b"hello")
    (tmp_path / "y").write_bytes(b"world")
    store.write("a/x", tmp_path / "y")
    assert (store.size("a/x"), b"".join(store.read("a/x", 2))) == (5, b"rld")
    assert [p.name for p in (tmp_path / "models/a").iterdir()] == ["x"]


@pytest.mark.parametrize("name", ["no", "a", "a/x/y"])
def test_what_a_volume_does_not_hold_is_named(tmp_path: Path, name: str) -> None:
    store = open_store(f"file://{tmp_path}")
    store.write("a/x", b"hello")
    with pytest.raises(SerinusError, match="SRN-STORE-002") as caught:
        list(store.read(name))
    assert caught.value.where == f"file://{tmp_path}/{name}"


def test_a_volume_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SerinusError, match="SRN-HOME-002"):
        open_store(f"file://{tmp_path}/file").write("x", b"")
