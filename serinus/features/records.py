"""Reading typed records and feature tables back into Python, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.features.values import literal, quote

_CHUNK = 10_000


def iter_records(source: Path, contract: Contract) -> Iterator[dict[str, object]]:
    """The typed records of a Parquet file in order of arrival (those that arrive together, in order
    of event time), a chunk in memory at a time.

    Raises:
        SerinusError: ``SRN-FEATURES-002`` if the file cannot be read.
    """
    event = contract.event
    order = ["file_row_number"]
    if event.time:
        time = quote(event.time)
        order.insert(0, time)
        if event.arrival:
            order.insert(0, f"greatest({time}, coalesce({quote(event.arrival)}, {time}))")
    query = (
        "SELECT * EXCLUDE (file_row_number) "
        f"FROM read_parquet({literal(str(source))}, file_row_number = true) "
        f"ORDER BY {', '.join(order)}"
    )
    with duckdb.connect() as connection:
        cursor = _execute(connection, query, source)
        names = [column[0] for column in cursor.description or ()]
        while rows := cursor.fetchmany(_CHUNK):
            for row in rows:
                yield dict(zip(names, row, strict=True))


def read_columns(table: Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of a feature table as arrays, in its row order.

    Numbers are float64 with NaN where absent, texts object arrays with None,
    times datetime64[us].

    Raises:
        SerinusError: ``SRN-FEATURES-002`` if the file or a column is not there.
    """
    chosen = ", ".join(quote(column) for column in columns)
    with duckdb.connect() as connection:
        query = f"SELECT {chosen} FROM read_parquet({literal(str(table))})"
        found = _execute(connection, query, table).fetchnumpy()
    return {column: _plain(np.ma.asarray(found[column])) for column in columns}


def _plain(values: np.ma.MaskedArray) -> np.ndarray:
    if values.dtype.kind in "iufb":
        return np.where(np.ma.getmaskarray(values), np.nan, np.asarray(values.data, dtype=np.float64))
    if values.dtype.kind == "M":
        times = np.asarray(values.data, dtype="datetime64[us]")
        return np.where(np.ma.getmaskarray(values), np.datetime64("NaT", "us"), times)
    texts = np.asarray(values.data, dtype=object).copy()
    texts[np.ma.getmaskarray(values)] = None
    return texts


def _execute(connection: duckdb.DuckDBPyConnection, query: str, source: Path) -> duckdb.DuckDBPyConnection:
    try:
        return connection.execute(query)
    except duckdb.Error as error:
        raise SerinusError(
            "SRN-FEATURES-002",
            f"the table cannot be read ({str(error).splitlines()[0]})",
            where=str(source),
            hint="Run the step that writes it again.",
        ) from error
