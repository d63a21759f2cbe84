"""Records and labels of a file or of standard input, for a store to take.

Parquet as ingest writes it, CSV with a header, or JSON lines; CSV and JSON lines
may be gzipped. A JSON line is a record, ``{"label": {…}}``, or an outcome as
the scorer's feedback file keeps it. Only the contract's columns are read.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from serinus.contract import Contract
from serinus.contract.words import absent
from serinus.errors import SerinusError
from serinus.features.online import KnownLabel, MemoryStore
from serinus.features.reading import FeatureEvent, Reader
from serinus.model import FieldError
from serving.scorer.intake import Label, known_label, label_in
from serving.scorer.records import RecordCheck
from serving.scorer.refusal import Refusal

Item = FeatureEvent | KnownLabel
_POLL_SECONDS = 0.2


class Bad(msgspec.Struct, frozen=True):
    """A record or label that is none; ``line`` counts them from 1."""

    line: int
    why: str


class Source:
    """One file. To be closed, or used with ``with``.

    Args:
        path: the file; ``-`` is standard input, as JSON lines.
        now: seconds since the epoch, for labels that do not say when they became known.

    Raises:
        SerinusError: ``SRN-FEATURES-011`` if it cannot be read.
    """

    def __init__(self, path: Path, contract: Contract, *, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._contract = contract
        self._reader = Reader(contract)
        self._columns = frozenset(contract.columns) - {p.column for p in contract.protected}
        self._check = RecordCheck(contract, labelled=True, text=True)
        self._now = now
        self._stream: IO[bytes] | None = None
        name = path.name.removesuffix(".gz")
        self._kind = "parquet" if name.endswith(".parquet") else "csv" if name.endswith(".csv") else "lines"
        if self._kind != "parquet":
            try:
                self._stream = _open(path)
            except OSError as error:
                raise unreadable(path, error.strerror or str(error)) from error
        elif not path.exists():
            raise unreadable(path, "there is no such file")

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None and self._stream is not sys.stdin.buffer:
            self._stream.close()

    def items(
        self, skip: int = 0, *, follow: Callable[[], bool] | None = None
    ) -> Iterator[Item | Bad | None]:
        """What the file holds, after its first ``skip`` records or labels.

        Args:
            follow: go on at the end until this is false, and give None whenever
                nothing more is there at present; JSON lines only.
        """
        number = 0
        for record in self._raw(follow):
            if record is None:
                yield None
                continue
            number += 1
            if number > skip:
                yield record if isinstance(record, Bad) else self._item(number, record)

    def _raw(self, follow: Callable[[], bool] | None) -> Iterator[dict[str, Any] | Bad | None]:
        try:
            if self._kind == "parquet":
                from serinus.features.records import iter_records

                yield from iter_records(self.path, self._contract)
                return
            assert self._stream is not None
            if self._kind == "csv":
                yield from csv.DictReader(io.TextIOWrapper(self._stream, encoding="utf-8", newline=""))
                return
            yield from _lines(self._stream, follow)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise unreadable(self.path, str(error)) from error

    def _item(self, line: int, found: Mapping[str, Any]) -> Item | Bad:
        try:
            label = label_in(found)
            if label is not None:
                return known_label(label, self._now(), "label")
            if "request_id" in found and "truth" in found and "request_id" not in self._columns:
                return self._outcome(line, found)
            record = {name: value for name, value in found.items() if name in self._columns}
            self._check(record)
            return self._reader.event(record)
        except (FieldError, Refusal, SerinusError, msgspec.ValidationError) as error:
            return Bad(line, str(error))

    def _outcome(self, line: int, found: Mapping[str, Any]) -> Item | Bad:
        """A line of the feedback file, where it holds one row."""
        truth = found["truth"]
        if not (isinstance(truth, list) and len(truth) == 1 and truth[0] and not absent(truth[0][0])):
            return Bad(
                line, "an outcome with other than one row is sent as labels, by request_id with .<row>"
            )
        outcome = {"value": truth[0][0], "request_id": found["request_id"], "at": found.get("time")}
        return known_label(msgspec.convert(outcome, Label), self._now(), "outcome")

    def warm(self, store: MemoryStore) -> int:
        """Fill a store that is about to serve; how many events and labels it took.

        Raises:
            SerinusError: ``SRN-FEATURES-011`` for a line that is none.
        """
        count = 0
        for item in self.items():
            if isinstance(item, Bad):
                raise unreadable(self.path, f"line {item.line}: {item.why}")
            if isinstance(item, KnownLabel):
                store.label([item])
            elif item is not None:
                store.apply(item, None)
            count += 1
        return count


def _open(path: Path) -> IO[bytes]:
    if str(path) == "-":
        return sys.stdin.buffer
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(stream: IO[bytes], follow: Callable[[], bool] | None) -> Iterator[dict[str, Any] | Bad | None]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    number, rest = 0, b""
    while True:
        line = stream.readline()
        if line.endswith(b"\n") or (line and follow is None):
            line, rest = rest + line, b""
            if not line.strip():
                continue
            number += 1
            try:
                yield decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield Bad(number, f"is no JSON object ({error})")
            continue
        if follow is None:
            return
        rest += line  # its writer is not done with it
        yield None
        if not follow():
            return
        time.sleep(_POLL_SECONDS)


def unreadable(path: Path, why: str) -> SerinusError:
    """``SRN-FEATURES-011``."""
    return SerinusError(
        "SRN-FEATURES-011",
        f"the records cannot be read ({why})",
        where=str(path),
        hint="Give Parquet that ingest wrote, CSV with a header, or JSON lines, with the contract's columns.",
    )
