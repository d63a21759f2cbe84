"""YAML that people write: whatever is wrong with it, the file is named, and the line where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.documents import UnreadableError, parse_yaml, read_yaml


def test_plain_values_come_out(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, b]\n")
    assert read_yaml(path) == {"a": [1, "b"]}
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize(
    ("text", "what", "line", "parsed"),
    [
        (None, "cannot be read (No such file or directory)", "", False),
        (b"a: \xff", "cannot be read ('utf-8' codec", "", False),
        (b"a: 1\nb: [1", "is not valid YAML (expected", " line 2", True),
        (b"a: 2026-02-31", "is not valid YAML (day is out of range", "", True),
        (b"a: \x07", "is not valid YAML (", "", True),
    ],
    ids=["no file", "no text", "no YAML", "a day that no month has", "a character that YAML forbids"],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, text: bytes | None, what: str, line: str, parsed: bool
) -> None:
    path = tmp_path / "a.yaml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(UnreadableError) as caught:
        read_yaml(path)
    assert caught.value.what.startswith(what)
    assert (caught.value.where, caught.value.parsed) == (f"{path}{line}", parsed)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", 3),
        ("a:\n  b: 1\n  b: 1\n", 3),
        ("- {a: 1, a: 2}\n", 1),
        ("{1: a, 1: b}\n", 1),
    ],
)
def test_a_key_that_is_there_twice_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(UnreadableError, match=f"line {line}.*is there twice"):
        parse_yaml(text, where="p.yaml")


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("{1: a, '1': b}", {1: "a", "1": "b"}),
        ("[{a: 1}, {a: 2}]", [{"a": 1}, {"a": 2}]),
        # A merged key that is written over is how merging is meant.
        (
            "a: &a {x: 1}\nb:\n  c: &c {<<: *a, x: 2}\nd: {<<: *c, x: 3}\n",
            {"a": {"x": 1}, "b": {"c": {"x": 2}}, "d": {"x": 3}},
        ),
    ],
)
def test_keys_that_are_not_the_same_stay(text: str, document: object) -> None:
    assert parse_yaml(text, where="p.yaml") == document
