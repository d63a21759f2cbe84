"""Ingest as a pipeline step: the contract enters here and is handed on with the records."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from components.ingest.ingest import ingest
from components.step import Summary, write_json
from serinus.contract import dump_contract, parse_contract
from serinus.home import unwritable
from serinus.storage import Budget, download, open_store, parse_location

_TIME, _LARGEST = 3600.0, 1 << 40  # the pod's own limits of time and disk are tighter


def ingest_records(data: str, contract: str, records: Path, contract_out: Path, report: Path) -> Summary:
    """Check the contract, then read and type the file by it.

    Args:
        data: CSV or Parquet, see ``components.ingest.ingest``: a path, or the URI of an object.
        contract: the contract as JSON text.
        records, contract_out, report: files to write: typed Parquet, the checked
            contract as JSON, and what was read (without paths, which say nothing of the data).
    """
    checked = parse_contract(msgspec.json.decode(contract), where="contract")
    write_json(contract_out, dump_contract(checked))
    with _here(data) as path:
        found = ingest(path, checked, records)
    values = msgspec.to_builtins(found)
    write_json(report, {key: value for key, value in values.items() if key not in ("source", "out")})
    return {
        "rows": f"{found.rows:,}",
        "positives": f"{found.positives:,} of {found.labelled:,}",
        "digest": found.digest.removeprefix("sha256:")[:12],
    }


@contextmanager
def _here(data: str) -> Generator[Path]:
    """The records as a file of this machine; what was brought for it is removed again."""
    if "://" not in data:
        yield Path(data)
        return
    place = parse_location(data)
    if place.scheme == "file":
        yield Path(place.path)
        return
    try:
        directory = Path(tempfile.mkdtemp(prefix="records-"))
    except OSError as error:
        raise unwritable(Path(tempfile.gettempdir()), error) from error
    try:
        # Under its own name: the ending tells what kind of file it is.
        download(open_store(place.parent), place.name, directory / place.name, Budget(_TIME, _LARGEST))
        yield directory / place.name
    finally:
        shutil.rmtree(directory, ignore_errors=True)
