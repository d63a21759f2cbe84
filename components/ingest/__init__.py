"""Ingest: anyone's CSV or Parquet, checked against the contract, as typed Parquet."""

from components.ingest.ingest import IngestReport, ingest

__all__ = ["IngestReport", "ingest"]
