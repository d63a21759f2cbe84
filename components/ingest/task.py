"""Ingest as a pipeline step: the contract enters here and is handed on with the records."""

from __future__ import annotations

from pathlib import Path

import msgspec

from components.ingest.ingest import ingest
from components.step import Summary, write_json
from serinus.contract import dump_contract, parse_contract


def ingest_records(data: Path, contract: str, records: Path, contract_out: Path, report: Path) -> Summary:
    """Check the contract, then read and type the file by it.

    Args:
        data: CSV or Parquet, see ``components.ingest.ingest``.
        contract: the contract as JSON text.
        records, contract_out, report: files to write: typed Parquet, the checked
            contract as JSON, and what was read (without paths, which say nothing of the data).
    """
    checked = parse_contract(msgspec.json.decode(contract), where="contract")
    write_json(contract_out, dump_contract(checked))
    found = ingest(data, checked, records)
    values = msgspec.to_builtins(found)
    write_json(report, {key: value for key, value in values.items() if key not in ("source", "out")})
    return {
        "rows": f"{found.rows:,}",
        "positives": f"{found.positives:,} of {found.labelled:,}",
        "digest": found.digest.removeprefix("sha256:")[:12],
    }
