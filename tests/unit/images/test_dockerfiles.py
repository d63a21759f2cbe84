"""What every image promises, read off its Dockerfile; that it starts is tests/cluster's affair."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
NAMES = {path.name.removesuffix(".Dockerfile") for path in DOCKERFILES}

each = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instruction and argument, continuation lines joined, comments left out."""
    text = "\n".join(
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    )
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line]


def stages(path: Path) -> list[list[tuple[str, str]]]:
    """The instructions of each stage."""
    made: list[list[tuple[str, str]]] = []
    for name, argument in instructions(path):
        if name == "FROM":
            made.append([])
        if made:
            made[-1].append((name, argument))
    return made


def test_the_makefile_builds_all_of_them() -> None:
    line = re.search(r"^IMAGES \?= (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    assert set(line[1].split()) == NAMES == {"pipeline", "scorer", "drift", "controller"}


@each
def test_two_stages_from_one_base_that_a_build_argument_names(path: Path) -> None:
    assert [stage[0] for stage in stages(path)] == [("FROM", "${BASE} AS build"), ("FROM", "${BASE}")]
    name, argument = instructions(path)[0]
    assert name == "ARG"
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.1[12]-slim", argument)


@each
def test_the_final_stage_compiles_and_installs_nothing(path: Path) -> None:
    assert {name for name, _ in stages(path)[-1]} <= {
        *("FROM", "COPY", "ENV", "USER", "WORKDIR", "EXPOSE", "ENTRYPOINT", "ARG", "LABEL")
    }


@each
def test_the_user_is_a_number_and_not_root(path: Path) -> None:
    assert [argument for name, argument in stages(path)[-1] if name == "USER"] == ["65532:65532"]


@each
def test_it_says_what_it_is_of_which_commit_and_under_which_licence(path: Path) -> None:
    (label,) = [argument for name, argument in stages(path)[-1] if name == "LABEL"]
    labels = dict(re.findall(r'(\S+?)="([^"]*)"', label))
    assert labels["org.opencontainers.image.title"] == f"serinus/{path.name.removesuffix('.Dockerfile')}"
    assert labels["org.opencontainers.image.revision"] == "${COMMIT}"
    assert labels["org.opencontainers.image.version"] == "${VERSION}"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert ("COPY", "LICENSE /licenses/LICENSE") in stages(path)[-1]


@each
def test_only_locked_versions_are_installed(path: Path) -> None:
    runs = " ".join(argument for name, argument in instructions(path) if name == "RUN")
    installs = re.findall(r"\b(?:uv sync|uv pip \w+|pip install)\b[^&|;]*", runs)
    assert installs
    for command in installs:
        assert (
            ("uv sync" in command and "--locked" in command and "--no-dev" in command)
            or ("uv pip sync" in command and "requirements/" in command)
            or "uv pip uninstall" in command
            or "uv==${UV_VERSION}" in command
        ), command


@each
def test_uv_is_the_makefiles(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    version = re.search(r"^UV_VERSION := (.*)$", makefile, re.MULTILINE)
    assert version is not None
    assert ("ARG", f"UV_VERSION={version[1]}") in instructions(path)


@each
def test_what_it_copies_passes_the_dockerignore(path: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[ignored.index("*") :], "everything is left out that is not named"
    named = {line[1:] for line in ignored if line.startswith("!")}
    for name, argument in instructions(path):
        if name == "COPY" and not argument.startswith("--from"):
            for source in argument.split()[:-1]:
                assert (ROOT / source).exists()
                assert source.split("/")[0] in named
