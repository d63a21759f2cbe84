"""Makes ``values.schema.json`` and the reference of the values from ``values.schema.yaml``.

python charts/schema.py --write     # after a change of a values.schema.yaml or values.yaml
python charts/schema.py --check     # exit code 1 if a file is not what would be written

Definitions that the charts share stand in ``definitions.schema.yaml``; a chart's schema gets those it uses.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).parent
NAMES = ("serinus", "serinus-model")
Schema = dict[str, Any]
_REFERENCE = re.compile(r"#/definitions/(\w+)")


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def schema(name: str) -> Schema:
    """The chart's schema with the shared definitions that it uses, and those they use."""
    made: Schema = _read(CHARTS / name / "values.schema.yaml")
    shared: Schema = _read(CHARTS / "definitions.schema.yaml")
    used: set[str] = set()
    wanted = set(_REFERENCE.findall(json.dumps(made)))
    while wanted - used:
        used |= wanted
        wanted = {found for one in used for found in _REFERENCE.findall(json.dumps(shared[one]))}
    # Draft 7 ignores what stands beside a $ref, so a described reference becomes an allOf of one.
    return _joined({**made, "definitions": {one: shared[one] for one in sorted(used)}})


def _joined(node: Any) -> Any:
    if isinstance(node, list):
        return [_joined(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node and len(node) > 1:
        rest = {key: _joined(value) for key, value in node.items() if key != "$ref"}
        return {**rest, "allOf": [{"$ref": node["$ref"]}]}
    return {key: _joined(value) for key, value in node.items()}


def values(node: Schema, defaults: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Path, description and default of each value that is no table of values."""
    for key, child in node.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        given = defaults.get(key) if isinstance(defaults, dict) else None
        if child.get("properties"):
            yield from values(child, given, below)
        elif key != "global":
            yield below, child["description"], given


def reference(name: str) -> str:
    """The chart's values as a Markdown table."""
    rows = ["| value | default | |", "| --- | --- | --- |"]
    source: Schema = _read(CHARTS / name / "values.schema.yaml")
    for path, description, default in values(source, _read(CHARTS / name / "values.yaml")):
        shown = json.dumps(default, ensure_ascii=False) if default not in ("", None) else ""
        rows.append(
            f"| `{path}` | {f'`{shown}`' if shown else ''} | {description.replace('|', chr(92) + '|')} |"
        )
    return "\n".join(rows) + "\n"


def files() -> dict[Path, str]:
    """Path → text of everything that is made."""
    made: dict[Path, str] = {}
    for name in NAMES:
        text = json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"
        made[CHARTS / name / "values.schema.json"] = text
        made[CHARTS / name / "VALUES.md"] = f"# Values of the chart {name}\n\n{reference(name)}"
    return made


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(prog="python charts/schema.py", description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", action="store_true", help="write the files")
    group.add_argument("--check", action="store_true", help="name the files that differ")
    arguments = parser.parse_args()
    stale = [
        path
        for path, text in files().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if arguments.write:
            path.write_text(files()[path], encoding="utf-8")
        sys.stdout.write(f"{'wrote' if arguments.write else 'differs'} {path.relative_to(CHARTS.parent)}\n")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
