"""Simulated card transactions, in time order, the same for the same seed.

Modelled on the simulator described in *Reproducible Machine Learning for Credit
Card Fraud Detection*, the handbook of the Machine Learning Group of ULB and of
Worldline (chapter "Simulated dataset"); this is an implementation of that
description, in arrays. Customers and terminals lie on a square of 100 x 100. A
customer has a mean amount (5 to 100), a spread of half of it and 0 to 4
transactions a day, around noon, at the terminals within a distance of 5. Three kinds
of fraud:

1. every amount above 220;
2. every transaction at a compromised terminal, for 28 days (phishing, skimming);
3. a third of a compromised customer's transactions, for 14 days, with the amount
   times 5 (card details leaked).

The handbook compromises 2 of 10,000 terminals and 3 of 5,000 customers a day; the
same rates are used at other sizes, so the share of fraud settles near 0.8 %.
``Shift`` adds what the handbook has not: a later period that differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import numpy as np

from serinus.features.values import literal

_DAY = 86_400
_RADIUS = 5.0
_ALWAYS_FRAUD_ABOVE = 220.0
_TERMINAL_RATE, _TERMINAL_DAYS = 2 / 10_000, 28
_CUSTOMER_RATE, _CUSTOMER_DAYS = 3 / 5_000, 14


@dataclass(frozen=True)
class Shift:
    """How the period from ``day`` (0-based) on differs.

    ``amount_factor`` multiplies every amount (inflation, or cents sent as
    euros); fraud of kind 1 is still decided by the amount before that.
    ``bursts`` is the share of customers hit on each day by a fraud unknown before:
    8 to 15 amounts of 1 to 10 within an hour, at terminals that did not exist
    before; such records carry scenario 4.
    """

    day: int
    amount_factor: float = 1.0
    bursts: float = 0.0


def generate(
    out: Path,
    *,
    seed: int = 7,
    customers: int = 1_500,
    terminals: int = 3_000,
    days: int = 120,
    start: str = "2026-01-01",
    shift: Shift | None = None,
) -> int:
    """Write the transactions to ``out`` (.csv, .csv.gz or .parquet); how many there are.

    Columns: TRANSACTION_ID, TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT,
    TX_TIME_SECONDS, TX_TIME_DAYS, TX_FRAUD, TX_FRAUD_SCENARIO. With the defaults
    about 350,000 rows. The days before a shift are the same with and without it.

    Raises:
        ValueError: if a size is not positive.
    """
    if min(customers, terminals, days) < 1:
        raise ValueError("customers, terminals and days must each be at least 1")
    columns = _transactions(seed, customers, terminals, days, shift)
    order = np.argsort(columns["seconds"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    base = np.datetime64(date.fromisoformat(start), "s")
    table = {
        "TRANSACTION_ID": np.arange(len(order), dtype=np.int64),
        "TX_DATETIME": (base + columns["seconds"].astype("timedelta64[s]")).astype("datetime64[us]"),
        "CUSTOMER_ID": columns["customer"],
        "TERMINAL_ID": columns["terminal"],
        "TX_AMOUNT": np.round(columns["amount"], 2),
        "TX_TIME_SECONDS": columns["seconds"],
        "TX_TIME_DAYS": columns["seconds"] // _DAY,
        "TX_FRAUD": (columns["scenario"] > 0).astype(np.int64),
        "TX_FRAUD_SCENARIO": columns["scenario"],
    }
    write_table(table, out)
    return len(order)


def write_table(table: dict[str, np.ndarray], out: Path) -> None:
    """Arrays of one length to .csv, .csv.gz or .parquet, by the suffix."""
    out.parent.mkdir(parents=True, exist_ok=True)
    options = "FORMAT parquet, COMPRESSION zstd"
    if not out.name.endswith(".parquet"):
        options = "FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%d %H:%M:%S'"
        options += ", COMPRESSION gzip" if out.suffix == ".gz" else ""
    with duckdb.connect() as connection:
        connection.register("generated", table)
        connection.execute(f"COPY (FROM generated) TO {literal(str(out))} ({options})")


def _transactions(
    seed: int, customers: int, terminals: int, days: int, shift: Shift | None
) -> dict[str, np.ndarray]:
    """The three kinds of fraud applied to ordinary spending, not yet in order."""
    # one generator per concern: a shift draws from its own, so the days before it do not change
    people, spending, crime, late = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    mean_amount = people.uniform(5, 100, customers)
    per_day = people.uniform(0, 4, customers)
    reach, reach_start, reach_count = _reach(
        people.uniform(0, 100, (customers, 2)), people.uniform(0, 100, (terminals, 2))
    )

    counts = spending.poisson(per_day[:, None], (customers, days))
    customer = np.repeat(np.arange(customers), counts.sum(axis=1))
    day = np.repeat(np.tile(np.arange(days), customers), counts.ravel())
    second = np.rint(spending.normal(_DAY / 2, 20_000, len(day))).astype(np.int64)
    inside = (second > 0) & (second < _DAY)  # as in the handbook, the others do not take place
    customer, day, second = customer[inside], day[inside], second[inside]
    n = len(day)
    amount = spending.normal(mean_amount[customer], mean_amount[customer] / 2)
    amount = np.where(amount < 0, spending.uniform(0, 2 * mean_amount[customer]), amount)
    terminal = reach[reach_start[customer] + (spending.random(n) * reach_count[customer]).astype(np.int64)]

    scenario = np.where(amount > _ALWAYS_FRAUD_ABOVE, 1, 0)
    bad_terminal = _compromised(crime, terminals, days, _TERMINAL_RATE, _TERMINAL_DAYS)
    scenario = np.where(bad_terminal[terminal, day], 2, scenario)
    bad_customer = _compromised(crime, customers, days, _CUSTOMER_RATE, _CUSTOMER_DAYS)
    leaked = bad_customer[customer, day] & (crime.random(n) < 1 / 3)
    amount = np.where(leaked, amount * 5, amount)
    scenario = np.where(leaked, 3, scenario)

    columns = {
        "customer": customer,
        "terminal": terminal,
        "amount": amount,
        "seconds": day * _DAY + second,
        "scenario": scenario.astype(np.int64),
    }
    if shift is not None:
        columns = _shifted(columns, shift, late, customers, terminals, days)
    return columns


def _reach(customers: np.ndarray, terminals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Terminals within the radius of each customer, as one flat list with starts and
    counts; a customer with none uses the nearest."""
    lists: list[np.ndarray] = []
    for position in customers:
        distance = ((terminals - position) ** 2).sum(axis=1)
        near = np.flatnonzero(distance < _RADIUS**2)
        lists.append(near if len(near) else np.array([distance.argmin()]))
    counts = np.array([len(near) for near in lists], dtype=np.int64)
    return np.concatenate(lists), np.cumsum(counts) - counts, counts


def _compromised(crime: np.random.Generator, number: int, days: int, rate: float, lasting: int) -> np.ndarray:
    """Whether each of ``number`` is compromised on each day: ``rate`` a day, for ``lasting`` days."""
    begins = crime.random((number, days)) < rate
    cumulative = np.cumsum(begins, axis=1)
    before = np.zeros_like(cumulative)
    before[:, lasting:] = cumulative[:, :-lasting] if days > lasting else 0
    return cumulative > before


def _shifted(
    columns: dict[str, np.ndarray],
    shift: Shift,
    late: np.random.Generator,
    customers: int,
    terminals: int,
    days: int,
) -> dict[str, np.ndarray]:
    after = columns["seconds"] >= shift.day * _DAY
    columns = {
        **columns,
        "amount": np.where(after, columns["amount"] * shift.amount_factor, columns["amount"]),
    }
    remaining = max(days - shift.day, 0)
    hits = (
        late.binomial(customers, shift.bursts, remaining)
        if shift.bursts
        else np.zeros(remaining, dtype=np.int64)
    )
    total = int(hits.sum())
    if not total:
        return columns
    start = np.repeat(np.arange(shift.day, days), hits) * _DAY + late.integers(0, _DAY - 3_600, total)
    sizes = late.integers(8, 16, total)
    n = int(sizes.sum())
    new_terminals = max(terminals // 100, 3)
    burst = {
        "customer": np.repeat(late.integers(0, customers, total), sizes),
        "terminal": terminals + np.repeat(late.integers(0, new_terminals, total), sizes),
        "amount": late.uniform(1, 10, n),
        "seconds": np.repeat(start, sizes) + late.integers(0, 3_600, n),
        "scenario": np.full(n, 4, dtype=np.int64),
    }
    return {name: np.concatenate([values, burst[name]]) for name, values in columns.items()}
