"""YAML that people write: read once, and where it cannot be, say what is wrong and in which line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML says that keys are unique; PyYAML takes the last one of a kind, and what was first is lost unsaid."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    what = f"the key {key.value} is there twice"
                    raise yaml.MarkedYAMLError(problem=what, problem_mark=key.start_mark)
                seen.add((key.tag, key.value))
        return node


class UnreadableError(Exception):
    """A file that gives no document.

    Attributes:
        what: what is wrong, to follow the name of what was to be read.
        where: the file, and the line where one is known.
        parsed: whether the file was there and its text could not be parsed.
    """

    def __init__(self, what: str, where: str, *, parsed: bool) -> None:
        super().__init__(f"{where}: {what}")
        self.what = what
        self.where = where
        self.parsed = parsed

    def hint(self, unread: str) -> str:
        """What to do: about the YAML, or ``unread`` where there was no text to parse."""
        mend = "Mend the YAML at that line; indentation and quotes are the usual causes."
        return mend if self.parsed else unread


def read_yaml(path: Path) -> Any:
    """The document in a YAML (or JSON) file, as plain values; None where it is empty.

    Raises:
        UnreadableError: no such file, no text, or no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(f"cannot be read ({why})", str(path), parsed=False) from error
    return parse_yaml(text, where=str(path))


def parse_yaml(text: str, *, where: str) -> Any:
    """As ``read_yaml``, of a text that comes from ``where``."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        # A ValueError is a date that no calendar has.
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or " ".join(str(error).split()) or "cannot be parsed"
        line = f" line {mark.line + 1:,}" if mark else ""
        raise UnreadableError(f"is not valid YAML ({why})", where + line, parsed=True) from error
