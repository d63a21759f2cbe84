"""A file either becomes typed Parquet whole, or is refused with its place and a remedy."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import duckdb
import pytest

from components.ingest import ingest
from serinus.contract import Contract, parse_contract
from serinus.errors import SerinusError
from serinus.features import compute_features, read_columns
from tests.unit.ingest import loans

HEADER = "id,at,amount,kind,bad\n"
GOOD = "1,2026-01-01 10:00:00,3.5,chip,0\n"
BAD = "2,2026-01-01T11:00:00Z,7,web,1\n"


def contract(positive: str | int | bool = 1, label: str = "integer", missing: str = "allow") -> Contract:
    return parse_contract(
        {
            "apiVersion": "serinus.io/v1",
            "kind": "DataContract",
            "name": "cards",
            "columns": {
                "id": {"type": "id"},
                "at": {"type": "timestamp"},
                "amount": {"type": "number", "min": 0},
                "kind": {"type": "category", "categories": ["chip", "web"]},
                "bad": {"type": label, "missing": missing},
            },
            "event": {"id": "id", "time": "at"},
            "label": {"column": "bad", "positive": positive},
            "features": [{"name": "amount", "column": "amount"}],
        },
        where="test",
    )


def refused(source: Path, out: Path, of: Contract | None = None) -> SerinusError:
    with pytest.raises(SerinusError) as caught:
        ingest(source, of or contract(), out)
    assert not out.exists(), "a refused file must leave nothing behind"
    assert not out.parent.exists() or not [p for p in out.parent.iterdir() if p.name.startswith(".ingest")]
    return caught.value


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def rows(path: Path) -> list[tuple[object, ...]]:
    return duckdb.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain.csv", HEADER + GOOD + BAD),
        ("bom.csv", "\ufeff" + HEADER + GOOD + BAD),
        ("crlf.csv", (HEADER + GOOD + BAD).replace("\n", "\r\n")),
        ("semicolon.csv", (HEADER + GOOD + BAD).replace(",", ";")),
        ("tab.csv", (HEADER + GOOD + BAD).replace(",", "\t")),
        ("no end.csv", (HEADER + GOOD + BAD).rstrip()),
        ("blank lines.csv", HEADER + GOOD + "\n" + BAD + "\n"),
        ("it's.csv.gz", gzip.compress((HEADER + GOOD + BAD).encode())),
        ("blanks.csv", (HEADER + GOOD + BAD).replace(",", " , ")),
    ],
)
def test_the_same_records_are_read_from_every_dialect(tmp_path: Path, name: str, data: str | bytes) -> None:
    source = write(tmp_path / name, data)
    report = ingest(source, contract(), tmp_path / "out.parquet")
    assert (report.rows, report.positives, report.labelled) == (2, 1, 2)
    assert (report.first, report.last) == ("2026-01-01T10:00:00.000000Z", "2026-01-01T11:00:00.000000Z")
    assert report.digest == "sha256:" + hashlib.sha256(source.read_bytes()).hexdigest()
    found = rows(tmp_path / "out.parquet")
    assert [(r[0], r[2], r[3], r[4]) for r in found] == [("1", 3.5, "chip", 0), ("2", 7.0, "web", 1)]


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    duckdb.execute(
        "COPY (SELECT * FROM (VALUES (1.0::DOUBLE, TIMESTAMP '2026-01-01 10:00:00', 3.5, 'chip', false, 9), "
        f"(2, TIMESTAMP '2026-01-01 11:00:00', 7, 'web', true, 9)) t(id, \"at\", amount, kind, bad, more)) "
        f"TO '{tmp_path / 'in.parquet'}' (FORMAT parquet)"
    )
    report = ingest(tmp_path / "in.parquet", contract(), tmp_path / "out.parquet")
    assert (report.rows, report.positives, report.dropped) == (2, 1, ("more",))
    assert [row[0] for row in rows(tmp_path / "out.parquet")] == ["1", "2"]


@pytest.mark.parametrize(
    ("line", "where", "what"),
    [
        ("3,2026-01-01 10:00:00,abc,chip,0", "line 4", 'amount is "abc"; expected a number ≥ 0'),
        ("3,2026-01-01 10:00:00,-1,chip,0", "line 4", 'amount is "-1"; expected a number ≥ 0'),
        ("3,2026-01-01 10:00:00,inf,chip,0", "line 4", 'amount is "inf"; expected a number ≥ 0'),
        ("3,2026-01-01 10:00:00,1_0,chip,0", "line 4", 'amount is "1_0"; expected a number ≥ 0'),
        ("3,2026-01-01 10:00:00,,chip,0", "line 4", "amount is empty; expected a number ≥ 0"),
        ("3,yesterday,1,chip,0", "line 4", 'at is "yesterday"; expected a time such as 2026-01-31T12:00:00'),
        ("3,infinity,1,chip,0", "line 4", 'at is "infinity"; expected a time such as 2026-01-31T12:00:00'),
        (
            "3,2026-02-30,1,chip,0",
            "line 4",
            'at is "2026-02-30"; expected a time such as 2026-01-31T12:00:00',
        ),
        ("3,2026-01-01 10:00:00,1,cash,0", "line 4", 'kind is "cash"; expected one of chip, web'),
        ("3,2026-01-01 10:00:00,1,chip,0.5", "line 4", 'bad is "0.5"; expected a whole number'),
        (",2026-01-01 10:00:00,1,chip,0", "line 4", "id is empty; expected an identifier"),
        ('"3\n3",2026-01-01 10:00:00,x,chip,0', "line 5", 'amount is "x"; expected a number ≥ 0'),
    ],
)
def test_a_value_that_breaks_the_contract_is_named_with_its_line(
    tmp_path: Path, line: str, where: str, what: str
) -> None:
    source = write(tmp_path / "tx.csv", HEADER + GOOD + BAD + line + "\n" + GOOD)
    error = refused(source, tmp_path / "out.parquet")
    assert (error.code, error.where, error.what) == ("SRN-CONTRACT-003", f"{source} {where}", what)


def test_all_problems_of_a_file_are_counted_not_only_the_first(tmp_path: Path) -> None:
    spoilt = "".join(f"{n},2026-01-01 10:00:00,x{n},cash,0\n" for n in range(1_000))
    error = refused(write(tmp_path / "tx.csv", HEADER + GOOD * 1_200 + spoilt), tmp_path / "out.parquet")
    assert error.where.endswith("line 1,202")
    assert "2,000 values in 2 columns" in error.hint
    assert 'amount: 1,000 (line 1,202 "x0", line 1,203 "x1", line 1,204 "x2", …)' in error.hint
    assert 'kind: 1,000 (line 1,202 "cash"' in error.hint


@pytest.mark.parametrize(
    ("name", "data", "code", "says"),
    [
        ("empty.csv", "", "SRN-DATA-003", "no records"),
        ("header.csv", HEADER, "SRN-DATA-003", "no records"),
        ("empty.csv.gz", gzip.compress(b""), "SRN-DATA-003", "no records"),
        ("sheet.xlsx", "x", "SRN-DATA-002", '".xlsx"'),
        ("missing.csv", "ID,at,kind,bad\n" + GOOD, "SRN-DATA-004", "id, amount"),
        ("twice.csv", "id,at,amount,kind,bad,Kind\n", "SRN-DATA-007", '"Kind" twice'),
        ("few.csv", HEADER + GOOD + "3,2026-01-01\n", "SRN-DATA-006", "5 columns"),
        ("many.csv", HEADER + GOOD + GOOD.strip() + ",9\n", "SRN-DATA-006", "5 columns"),
        ("quote.csv", HEADER + GOOD + '3,"2026\n' + BAD, "SRN-DATA-006", "unterminated quote"),
        ("latin.csv", (HEADER + GOOD * 9_000).encode() + b"\xe9,,,,\n", "SRN-DATA-005", "not UTF-8"),
        ("binary.csv", bytes(range(256)) * 9, "SRN-DATA-005", "not UTF-8"),
        ("not.csv.gz", HEADER + GOOD, "SRN-DATA-005", "damaged"),
        ("not.parquet", HEADER + GOOD, "SRN-DATA-005", "damaged"),
        ("swapped.csv", HEADER + "1,05/01/2026,1,chip,1\n", "SRN-DATA-008", "day or with the month first"),
        ("no fraud.csv", HEADER + GOOD * 3, "SRN-DATA-010", 'never "1" but "0" (3)'),
    ],
)
def test_a_bad_file_is_refused_with_its_own_code(
    tmp_path: Path, name: str, data: str | bytes, code: str, says: str
) -> None:
    error = refused(write(tmp_path / name, data), tmp_path / "out.parquet")
    assert error.code == code
    assert says in error.what
    assert name in error.where


def test_a_near_name_is_suggested_for_a_missing_column(tmp_path: Path) -> None:
    error = refused(
        write(tmp_path / "a.csv", HEADER.replace("amount", "Amount") + GOOD), tmp_path / "out.parquet"
    )
    assert 'Did you mean "Amount" for amount?' in error.hint


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_gzip_is_never_taken_for_a_short_file(tmp_path: Path, kept: float) -> None:
    packed = gzip.compress((HEADER + (GOOD + BAD) * 30_000).encode())
    source = write(tmp_path / "tx.csv.gz", packed[: int(len(packed) * kept)])
    assert refused(source, tmp_path / "out.parquet").code == "SRN-DATA-005"


def test_a_damaged_parquet_is_refused(tmp_path: Path) -> None:
    ingest(write(tmp_path / "tx.csv", HEADER + (GOOD + BAD) * 3_000), contract(), tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    source = write(tmp_path / "cut.parquet", whole[: len(whole) // 2])
    assert refused(source, tmp_path / "out.parquet").code == "SRN-DATA-005"


# root may read everything, so there is nothing to try
@pytest.mark.parametrize("what", ["absent", "directory", *(["forbidden"] if os.geteuid() else [])])
def test_what_cannot_be_opened_is_named(tmp_path: Path, what: str) -> None:
    source = tmp_path / "tx.csv"
    if what == "directory":
        source.mkdir()
    elif what == "forbidden":
        write(source, HEADER + GOOD).chmod(0)
    assert refused(source, tmp_path / "out.parquet").code == "SRN-DATA-001"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "tx.csv", HEADER + GOOD + BAD)
    with pytest.raises(SerinusError) as caught:
        ingest(source, contract(), source / "out.parquet")
    assert caught.value.code == "SRN-DATA-009"


def test_a_refused_file_leaves_the_last_good_result_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    ingest(write(tmp_path / "good.csv", HEADER + GOOD + BAD), contract(), out)
    before = out.read_bytes()
    with pytest.raises(SerinusError):
        ingest(write(tmp_path / "bad.csv", HEADER + GOOD + BAD + "3,x,y,z,1\n"), contract(), out)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("texts", "time_format", "first"),
    [
        (("25/01/2026 10:00", "02/01/2026 09:30"), "%d/%m/%Y %H:%M", "2026-01-02T09:30"),
        (("01/25/2026", "02/01/2026"), "%m/%d/%Y", "2026-01-25T00:00"),
        (("Dec-2015", "Jan-2016"), "%b-%Y", "2015-12-01T00:00"),
        (("20260131", "20260201"), "%Y%m%d", "2026-01-31T00:00"),
        (("2026-01-31T10:00:00+02:00", "2026-02-01"), "ISO 8601", "2026-01-31T08:00"),
    ],
)
def test_common_time_formats_are_found_by_reading_the_whole_column(
    tmp_path: Path, texts: tuple[str, str], time_format: str, first: str
) -> None:
    lines = "".join(f"{n},{text},1,chip,{n}\n" for n, text in enumerate(texts))
    report = ingest(write(tmp_path / "tx.csv", HEADER + lines), contract(), tmp_path / "out.parquet")
    assert report.time_formats == {"at": time_format}
    assert report.first is not None
    assert report.first.startswith(first)


@pytest.mark.parametrize(
    ("positive", "kind", "texts"),
    [
        (1, "integer", ("1", "0")),
        (1, "integer", ("true", "false")),
        (1, "number", ("1.0", "0.0")),
        (True, "boolean", ("Y", "N")),
        (True, "boolean", ("yes", "no")),
        ("Y", "category", ("y", "N")),
        ("Y", "boolean", ("Y", "N")),
        ("Charged Off", "category", ("charged off", "Fully Paid")),
    ],
)
def test_a_positive_label_is_found_in_any_spelling(
    tmp_path: Path, positive: str | int | bool, kind: str, texts: tuple[str, str]
) -> None:
    lines = "".join(f"{n},2026-01-01,1,chip,{text}\n" for n, text in enumerate([*texts, texts[1], ""]))
    report = ingest(
        write(tmp_path / "tx.csv", HEADER + lines), contract(positive, kind), tmp_path / "out.parquet"
    )
    assert (report.labelled, report.positives, report.missing["bad"]) == (3, 1, 1)


def test_a_stranger_s_loans_are_ingested_and_have_features(tmp_path: Path) -> None:
    source = loans.write_loans(tmp_path / "loans.csv.gz", 5_000)
    report = ingest(source, loans.contract(), tmp_path / "typed.parquet")
    assert report.rows == 5_000
    assert report.dropped == ("member", "remarks")
    assert report.time_formats == {"issued": "%m/%d/%Y"}
    assert 0.1 < report.positives / report.rows < 0.3
    assert report.missing["income"] > 0
    compute_features(loans.contract(), tmp_path / "typed.parquet", tmp_path / "features.parquet")
    found = read_columns(tmp_path / "features.parquet", ["label", "purpose", "owner", "branch_defaults_180d"])
    assert found["label"].sum() == report.positives
    assert set(found["purpose"]) == {*loans.PURPOSES, None}
    assert {0.0, 1.0} < {value for value in found["owner"].tolist() if value == value} | {0.5}
    late = found["branch_defaults_180d"][-2_000:]
    assert abs(late.mean() - 0.17) < 0.05
