"""What identifies a run's inputs: content, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.provenance import by_content, code_of
from serinus.errors import SerinusError


def tree(root: Path) -> Path:
    for name in (
        "components/a.py",
        "components/datasets/b.py",
        "serinus/model/c.py",
        "serinus/cli.py",
        "components/t.j2",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "pipelines").mkdir()
    (root / "pipelines/training.py").write_text("x")
    return root


def test_one_content_has_one_path_wherever_it_lies(tmp_path: Path) -> None:
    one, two, other = tmp_path / "one.csv", tmp_path / "sub.csv", tmp_path / "other.csv"
    one.write_text("a\n1\n")
    two.write_text("a\n1\n")
    other.write_text("a\n2\n")
    links = [by_content(path, tmp_path / "store") for path in (one, two, other)]
    assert links[0] == links[1] != links[2]
    assert links[0].read_text() == "a\n1\n"


def test_the_link_keeps_what_tells_the_format(tmp_path: Path) -> None:
    for name in ("x.csv.gz", "y.parquet"):
        (tmp_path / name).write_text("z")
    assert by_content(tmp_path / "x.csv.gz", tmp_path / "s").name.endswith(".csv.gz")
    assert by_content(tmp_path / "y.parquet", tmp_path / "s").suffix == ".parquet"


def test_a_file_that_moved_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a")
    by_content(tmp_path / "a.csv", tmp_path / "s")
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    assert by_content(tmp_path / "b.csv", tmp_path / "s").read_text() == "a"


@pytest.mark.parametrize("name", ["absent.csv", ""])
def test_unreadable_data_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SerinusError) as caught:
        by_content(tmp_path / name, tmp_path / "s")
    assert caught.value.code == "SRN-PIPELINE-010"


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "file").write_text("")
    with pytest.raises(SerinusError, match=f"{tmp_path}/file/store/.*cannot be written") as caught:
        by_content(tmp_path / "a.csv", tmp_path / "file" / "store")
    assert caught.value.code == "SRN-HOME-002"


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("components/a.py", True),
        ("components/t.j2", True),
        ("serinus/model/c.py", True),
        ("pipelines/training.py", True),
        ("components/datasets/b.py", False),
        ("serinus/cli.py", False),
    ],
)
def test_only_code_that_a_step_executes_counts(tmp_path: Path, changed: str, matters: bool) -> None:
    root = tree(tmp_path)
    before = code_of(root)["digest"]
    (root / changed).write_text("changed")
    assert (code_of(root)["digest"] != before) is matters
