"""Opening a source: what kind of file it is, which columns it has, where a row stands."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb

from serinus.errors import SerinusError
from serinus.features.values import literal, quote

_DELIMITERS = (",", ";", "\t", "|")
_SUFFIXES = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class Source:
    """A readable file: its columns in order and, for CSV, its delimiter."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str | None

    @property
    def unit(self) -> str:
        """What an error counts: lines of a text file, rows of a table."""
        return "row" if self.delimiter is None else "line"

    def relation(self) -> str:
        """The DuckDB table function that reads it, text columns for CSV."""
        if self.delimiter is None:
            return f"read_parquet({literal(str(self.path))})"
        columns = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in self.columns)
        return (
            f"read_csv({literal(str(self.path))}, auto_detect = false, header = true, "
            f"columns = {{{columns}}}, "
            f"delim = {literal(self.delimiter)}, quote = '\"', escape = '\"', "
            f"compression = {literal('gzip' if self.path.suffix == '.gz' else 'none')})"
        )


def digest(path: Path) -> str:
    """``sha256:`` and the hexadecimal hash of the file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def open_source(path: Path, wanted: Iterable[str]) -> Source:
    """Find out what the file is.

    ``wanted`` column names decide between delimiters.

    Raises:
        SerinusError: ``SRN-DATA-001`` not there, a directory, or not permitted;
            ``-002`` not a kind of file that is read; ``-003`` empty; ``-005``
            damaged; ``-007`` a column name twice.
    """
    if not path.exists():
        raise SerinusError(
            "SRN-DATA-001", "no such file", where=str(path), hint="Check the path of the data file."
        )
    if path.is_dir():
        raise SerinusError(
            "SRN-DATA-001",
            "this is a directory, not a file",
            where=str(path),
            hint=f"Give one file inside it ({', '.join(_SUFFIXES)}).",
        )
    if not os.access(path, os.R_OK):
        raise SerinusError(
            "SRN-DATA-001",
            "no permission to read the file",
            where=str(path),
            hint="Ask its owner, or run chmod u+r on it.",
        )
    name = path.name.lower()
    if not name.endswith(_SUFFIXES):
        raise SerinusError(
            "SRN-DATA-002",
            f'files ending in "{path.suffix}" are not read',
            where=str(path),
            hint=f"Convert it to one of {', '.join(_SUFFIXES)}.",
        )
    if path.stat().st_size == 0:
        raise empty(path)
    return _parquet(path) if name.endswith(".parquet") else _csv(path, set(wanted))


def empty(path: Path) -> SerinusError:
    """The error for a file without a single record."""
    return SerinusError(
        "SRN-DATA-003",
        "the file holds no records",
        where=str(path),
        hint="Export it again; a header line and at least one record are needed.",
    )


def damaged(path: Path, error: object) -> SerinusError:
    """The error for a file that is not what its name says, or ends too early."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SerinusError(
        "SRN-DATA-005",
        f"the file is damaged or not what its name says ({reason})",
        where=str(path),
        hint="Copy or export it again; gzip -t FILE tests a .gz, and its sender can tell you its checksum.",
    )


def not_utf8(path: Path, place: str) -> SerinusError:
    """The error for a text in another encoding, or no text at all."""
    return SerinusError(
        "SRN-DATA-005",
        f"the file is not UTF-8 text{place}",
        where=str(path),
        hint="Save it as UTF-8; iconv -f LATIN1 -t UTF-8 FILE converts what older Windows programs write.",
    )


def _parquet(path: Path) -> Source:
    with duckdb.connect() as connection:
        try:
            found = connection.execute(
                f"DESCRIBE SELECT * FROM read_parquet({literal(str(path))})"
            ).fetchall()
        except duckdb.Error as error:
            raise damaged(path, error) from error
    return Source(path, tuple(row[0] for row in found), None)


def _csv(path: Path, wanted: set[str]) -> Source:
    try:
        with _text(path) as file:
            header = file.readline()
    except UnicodeDecodeError as error:
        raise not_utf8(path, "") from error
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, error) from error
    if not header.strip():
        raise empty(path)
    readings = {delimiter: next(csv.reader([header], delimiter=delimiter)) for delimiter in _DELIMITERS}
    delimiter = max(
        _DELIMITERS, key=lambda d: (len(wanted & {c.strip() for c in readings[d]}), len(readings[d]))
    )
    columns = tuple(column.strip() for column in readings[delimiter])
    seen: set[str] = set()
    for column in columns:
        if column.lower() in seen:
            raise SerinusError(
                "SRN-DATA-007",
                f'the header names the column "{column}" twice',
                where=f"{path} line 1",
                hint="Rename or remove one of them; upper and lower case count as the same.",
            )
        seen.add(column.lower())
    return Source(path, columns, delimiter)


@contextmanager
def _text(path: Path) -> Generator[IO[str]]:
    if path.suffix == ".gz":
        with (
            gzip.open(path, "rb") as packed,
            io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as file,
        ):
            yield file
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file


def lines(source: Source, rows: Iterable[int]) -> dict[int, int]:
    """The line on which each record (1-based) ends, or its own number for a table.

    Records may span lines, so the lines before it are read; only on the way to an error.
    """
    wanted = set(rows)
    if source.delimiter is None or not wanted:
        return {row: row for row in wanted}
    found: dict[int, int] = {}
    last, row = max(wanted), -1
    with _text(source.path) as file:
        reader = csv.reader(file, delimiter=source.delimiter)
        for fields in reader:
            if not fields:
                continue
            row += 1
            if row in wanted:
                found[row] = reader.line_num
            if row >= last:
                break
    return {row: found.get(row, row + 1) for row in wanted}


def selection(source: Source, columns: Iterable[str]) -> str:
    """The columns as text, blanks around trimmed."""
    return ", ".join(f"trim(CAST({quote(column)} AS VARCHAR)) AS {quote(column)}" for column in columns)
