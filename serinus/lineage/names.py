"""How datasets are named: by where they lie if others know them, by what they are if they are ours.

The first follows OpenLineage's naming of files and objects, so that a job of another tool that
wrote the records and the step that reads them meet in one dataset.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse


def place_of(uri: str) -> tuple[str, str]:
    """Namespace and name of records: ``("s3://bucket", "key")``, or ``("file", "/path")``."""
    if "://" not in uri:
        return "file", str(Path(uri).absolute())
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return "file", unquote(parsed.path)
    # No user or password that a URI may carry.
    host = (parsed.hostname or "") + (f":{parsed.port}" if parsed.port else "")
    return f"{parsed.scheme}://{host}", parsed.path.lstrip("/") or "/"


def bundle_name(model: str) -> str:
    """The dataset whose versions are the model's signed bundles."""
    return f"{model}.bundle"


def stage_name(model: str, stage: str) -> str:
    """The dataset whose version is the bundle that stands in a stage, such as ``fraud.champion``."""
    return f"{model}.{stage}"
