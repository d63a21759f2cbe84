"""From ``results.json`` to figures by row: medians over rounds, ratios, and the targets' verdicts. No I/O here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Results = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A row's figures; medians over the rounds it was measured in.

    Attributes:
        rate: highest rate with p99 <= 5 ms and no error, requests/s; 0 where no rate holds it.
        low, high: the smallest and largest of the rounds.
        throughput: answers/s of a closed loop of 8 connections, whatever the latency; ``closed_cpu_us`` is the
            server's CPU per request there, ``closed_ratio`` that over the null server's.
        cpu_us: of the server per request at ``cpu_rate`` requests/s; ``cpu_ratio`` is that over the null server's
            at the same rate.
        half: ms at half of ``rate`` by arrival law and quantile.
        ready: s from the start to the first scored request.
    """

    key: str
    product: str
    setting: str
    model: str
    protocol: str
    reasons: str
    rounds: int
    rate: float
    low: float
    high: float
    limited: bool
    throughput: float
    closed_cpu_us: float
    closed_ratio: float
    half_rate: float
    half: dict[str, dict[str, float | None]]
    half_cpu_us: float
    void: bool
    cpu_rate: int
    cpu_us: float
    cpu_ratio: float
    rss: float
    pss: float
    ready: float
    lag: float
    foreign: float
    steal: float
    answers: int

    @property
    def ours(self) -> bool:
        """Whether this is serinus."""
        return self.product == "serinus"

    @property
    def capacity(self) -> float:
        """What a comparison uses: the rate within 5 ms, else the throughput without any limit."""
        return self.rate or self.throughput


@dataclass(frozen=True)
class Target:
    """One of the targets of this benchmark."""

    name: str
    measured: str
    value: float
    met: bool | None


def figures(results: Results) -> list[Figure]:
    """One per row that was measured, in the rows' order."""
    blocks = results["blocks"]
    null = [b for b in blocks if b["key"] == "null" and "failed" not in b]
    out: list[Figure] = []
    for row in results["rows"]:
        mine = [b for b in blocks if b["key"] == row["key"] and "failed" not in b]
        if mine:
            out.append(_figure(row, mine, null))
    return out


def _figure(row: dict[str, Any], mine: Sequence[Results], null: Sequence[Results]) -> Figure:
    rates = [b["max_rate"] for b in mine]
    fixed = min(b["cpu_rate"] for b in mine)
    same = [b for b in mine if b["cpu_rate"] == fixed]
    cpu = median(b["cpu"][str(fixed)]["cpu_us"] for b in same)
    stretches = [b["half"][law] for b in mine for law in ("poisson", "constant")]
    return Figure(
        **{key: row[key] for key in ("key", "product", "setting", "model", "protocol", "reasons")},
        rounds=len(mine),
        rate=median(rates),
        low=min(rates),
        high=max(rates),
        limited=any(b["limited_by_generator"] for b in mine),
        throughput=median(b["closed_8"]["rps"] for b in mine),
        closed_cpu_us=_closed_cpu(mine),
        closed_ratio=_closed_cpu(mine) / _closed_cpu(null),
        half_rate=median(b["half_rate"] for b in mine),
        half={
            law: {q: _median(b["half"][law][q] for b in mine) for q in ("p50", "p99", "p999")}
            for law in ("poisson", "constant")
        },
        half_cpu_us=median(b["half"]["poisson"]["cpu_us"] for b in mine),
        void=any(s["void"] for s in stretches),
        cpu_rate=fixed,
        cpu_us=cpu,
        cpu_ratio=cpu / _null_cpu(null, fixed),
        rss=median(b["rss"] for b in mine),
        pss=median(b["pss"] for b in mine),
        ready=median(b["ready_s"] for b in mine),
        lag=max((s["lag_p99"] or 0.0 for s in stretches), default=0.0),
        foreign=max(s["foreign"] for s in stretches),
        steal=max(s["steal"] for s in stretches),
        answers=min(s["answered"] for s in stretches),
    )


def _median(values: Any) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None


def _closed_cpu(blocks: Sequence[Results]) -> float:
    return median(b["closed_8"]["cpu_us"] for b in blocks) if blocks else math.nan


def _null_cpu(null: Sequence[Results], rate: int) -> float:
    """The null server's CPU per request at this rate, or the nearest that was measured."""
    if not null:
        return math.nan
    nearest = min((int(r) for r in null[0]["cpu"]), key=lambda r: abs(math.log(r / rate)))
    return median(b["cpu"][str(nearest)]["cpu_us"] for b in null)


def best(rows: Sequence[Figure], *, model: str, reasons: bool) -> Figure | None:
    """The peer with the highest capacity; one that holds the limit at some rate goes before any that does not."""
    peers = [
        r for r in rows
        if not r.ours and r.key != "null" and r.model == model and (r.reasons == "every") == reasons
    ]  # fmt: skip
    return max(peers, key=lambda r: (r.rate > 0, r.capacity), default=None)


def targets(results: Results, rows: Sequence[Figure]) -> list[Target]:
    """Each target's ratio in this run; ``met`` is None where a part was not measured."""
    by_key = {r.key: r for r in rows}
    null, score, always = by_key.get("null"), by_key.get("ours-never"), by_key.get("ours-always")
    plain, explained = best(rows, model="lightgbm", reasons=False), best(rows, model="lightgbm", reasons=True)
    out = [
        *_times(null, "Score and decision (log relaxed): at least 10x the best peer", score, plain, 10),
        *_times(null, "Exact reasons on every request (log relaxed): at least 10x a peer with shap.TreeExplainer",
                always, explained, 10),
        *_times(null, "Reasons (log relaxed): at least 3x the best peer without reasons", always, plain, 3),
    ]  # fmt: skip
    for key, title in (
        ("ours-never", "CPU per request, score and decision: at most 5x the null server (log relaxed)"),
        ("ours-v2", "CPU per request, V2: at most 5x the null server (log relaxed)"),
        ("ours-never-off", "CPU per request, log off: at most 5x the null server"),
    ):
        row = by_key.get(key)
        if row is None or math.isnan(row.cpu_ratio):
            out.append(Target(title, "not measured", math.nan, None))
        else:
            text = (
                f"{row.cpu_ratio:.2f}x ({row.cpu_us:.0f} us at {row.cpu_rate}/s), {row.closed_ratio:.2f}x "
                f"({row.closed_cpu_us:.0f} us in a closed loop of 8)"
            )
            worse = max(row.cpu_ratio, row.closed_ratio)
            out.append(Target(title, text, worse, worse <= 5))
    out += batch_targets(results)
    out += _log_targets(null, by_key.get("ours-never-off"), score)
    forest, peer = by_key.get("ours-forest-never"), best(rows, model="sklearn", reasons=False)
    shap_peer, forest_always = best(rows, model="sklearn", reasons=True), by_key.get("ours-forest-always")
    out += _times(null, "Forest, score and decision: at least 10x the best peer", forest, peer, 10)
    out += _times(null, "Forest, reasons on every request: at least 10x a peer with shap.TreeExplainer", forest_always,
                  shap_peer, 10)  # fmt: skip
    return out


def uncertain(null: Figure | None, *rows: Figure) -> str:
    """Why rates within the limit say nothing of these rows here, or nothing.

    No server is faster than one that does nothing. Where the null server holds the limit at no rate, or only below
    a row's, the machine's own tail has decided, or the generator.
    """
    if null is None:
        return ""
    if null.rate == 0:
        return "the null server itself held p99 at no rate"
    if not null.limited and any(row.rate > null.rate for row in rows):
        return f"the null server itself held p99 only up to {null.rate:.0f}/s"
    if any(row.limited and not row.rate for row in rows):
        return "the generator lagged at every rate"
    return ""


def _times(
    null: Figure | None, name: str, mine: Figure | None, peer: Figure | None, wanted: float
) -> list[Target]:
    """By the highest rates within the limit, and by the CPU that a request takes of a busy server."""
    by_cpu = f"{name.partition(':')[0]}, by CPU:{name.partition(':')[2]}"
    if mine is None or peer is None:
        return [Target(name, "not measured", math.nan, None), Target(by_cpu, "not measured", math.nan, None)]
    ratio = mine.rate / peer.capacity if peer.capacity else math.nan
    how = f"{peer.rate:.0f}/s" if peer.rate else f"none within 5 ms; {peer.throughput:.0f}/s without a limit"
    text = f"{ratio:.1f}x ({mine.rate:.0f}/s; {peer.product}, {peer.setting}: {how})"
    why = uncertain(null, mine)
    if not why and mine.limited and ratio < wanted:
        why = "the generator, not the server, ended the search"
    if why:
        text = f"not certified: {why}; {text}"
    spared = peer.closed_cpu_us / mine.closed_cpu_us
    cpu = f"{spared:.1f}x ({mine.closed_cpu_us:.0f} us a request, the peer {peer.closed_cpu_us:.0f}; closed loop of 8)"
    return [
        Target(name, text, ratio, None if why else ratio >= wanted),
        Target(by_cpu, cpu, spared, spared >= wanted),
    ]


def _log_targets(null: Figure | None, off: Figure | None, on: Figure | None) -> list[Target]:
    """What the decision log costs: of the rate within the limit, and of a busy server's CPU."""
    names = (
        "Decision log relaxed: within 15 % of the rate without a log",
        "Decision log relaxed, by CPU: within 15 % of the requests that a core answers without a log",
    )
    if off is None or on is None:
        return [Target(name, "not measured", math.nan, None) for name in names]
    share = on.rate / off.rate if off.rate else math.nan
    why = uncertain(null, off, on) or ("" if off.rate else "without a log no rate held p99")
    if not why and (off.limited or on.limited):
        why = "the generator, not the server, ended the search"
    text = f"{share:.1%} ({on.rate:.0f} of {off.rate:.0f}/s)"
    busy = off.closed_cpu_us / on.closed_cpu_us
    cpu = f"{busy:.1%} ({off.closed_cpu_us:.1f} us a request without, {on.closed_cpu_us:.1f} with; closed loop of 8)"
    return [
        Target(
            names[0], f"not certified: {why}; {text}" if why else text, share, None if why else share >= 0.85
        ),
        Target(names[1], cpu, busy, busy >= 0.85),
    ]


def batch_targets(results: Results) -> list[Target]:
    """1,000 rows a request, score and decision, log off, beside ``Booster.predict`` with one thread."""
    rates = batch_rates(results)
    bare = rates.get("bare/1000")
    title = "Batches of 1,000 rows: at least 80 % of the bare library"
    shown = {
        key.split("/")[1]: value / bare
        for key, value in rates.items()
        if bare and key.startswith("ours-never-off/") and key.endswith("/1000") and value
    }
    if not shown:
        return [Target(title, "not measured", math.nan, None)]
    worst = min(shown.values())
    text = ", ".join(f"{name} {share:.0%}" for name, share in shown.items())
    return [Target(title, text, worst, worst >= 0.8)]


def batch_rates(results: Results) -> dict[str, float]:
    """Rows/s by what was measured, median over the rounds."""
    found: dict[str, list[float]] = results.get("batches", {}).get("rows_per_s", {})
    return {key: median(values) for key, values in found.items()}
