"""Which artefacts a step reads and writes, as KFP itself told its process."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SALT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|\d+")
"""What a KFP server puts between the task's name and the artefact's, so that two tries do not collide."""


@dataclass(frozen=True)
class Artefact:
    """An artefact of KFP: its key among the step's arguments, its place, and its metadata."""

    key: str
    uri: str
    path: Path
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def made_as(self) -> tuple[str, str]:
        """The task that writes it and the key under which that task knows it, read off its URI:
        a reader may know it by another key."""
        parts = [part for part in self.uri.split("/") if part]
        before = [part for part in parts[:-1] if not _SALT.fullmatch(part)]
        return (before[-1] if before else "", parts[-1] if parts else self.key)


@dataclass(frozen=True)
class Given:
    """What KFP gave the step's process."""

    inputs: tuple[Artefact, ...] = ()
    outputs: tuple[Artefact, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


def given(argv: Sequence[str]) -> Given:
    """Read the executor input (``pipeline_spec.ExecutorInput`` as JSON) off a command line.

    It is the contract between KFP's launcher and every component: the same on this machine
    and in a pod. Nothing is found where the process was not started by KFP.
    """
    pairs = itertools.pairwise(argv)
    text = next((value for flag, value in pairs if flag == "--executor_input"), "")
    try:
        whole = json.loads(text)
    except ValueError:
        return Given()
    inputs, outputs = whole.get("inputs", {}), whole.get("outputs", {})
    return Given(
        _artefacts(inputs.get("artifacts", {})),
        _artefacts(outputs.get("artifacts", {})),
        inputs.get("parameterValues", {}),
    )


def _artefacts(listed: Mapping[str, Any]) -> tuple[Artefact, ...]:
    return tuple(
        Artefact(key, one["uri"], _path(one["uri"], one.get("metadata", {})), one.get("metadata", {}))
        for key, value in sorted(listed.items())  # KFP keeps no order
        for one in value.get("artifacts", [])
        if one.get("uri")
    )


def _path(uri: str, metadata: dict[str, Any]) -> Path:
    from kfp.dsl import Artifact  # its process has loaded it; where it mounts what is KFP's to say

    return Path(Artifact(uri=uri, metadata=metadata).path or uri)


def digest(path: Path) -> str:
    """``sha256:`` and the hash of a file, or of a directory's names and hashes; empty if there is neither."""
    if path.is_file():
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        return ""
    whole = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            whole.update(f"{each.relative_to(path).as_posix()}\0{digest(each)}\n".encode())
    return "sha256:" + whole.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file or of all files of a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
