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
        throughput: answers/s of a closed loop of 8 connections, whatever the latency.
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
    score, always = by_key.get("ours-never"), by_key.get("ours-always")
    plain, explained = best(rows, model="lightgbm", reasons=False), best(rows, model="lightgbm", reasons=True)
    out = [
        _times("Score and decision (log relaxed): at least 10x the best peer", score, plain, 10),
        _times("Exact reasons on every request (log relaxed): at least 10x a peer with shap.TreeExplainer", always,
               explained, 10),
        _times("... and at least 3x the best peer without reasons", always, plain, 3),
    ]  # fmt: skip
    name = "CPU per request, score and decision: at most 5x the null server"
    for key, what in (("ours-never", "log relaxed"), ("ours-never-off", "log off")):
        row = by_key.get(key)
        title = name if key == "ours-never" else "... with the log off"
        if row is None or math.isnan(row.cpu_ratio):
            out.append(Target(title, "not measured", math.nan, None))
        else:
            text = f"{row.cpu_ratio:.2f}x ({row.cpu_us:.0f} us at {row.cpu_rate}/s, {what})"
            out.append(Target(title, text, row.cpu_ratio, row.cpu_ratio <= 5))
    out += batch_targets(results)
    off = by_key.get("ours-never-off")
    title = "Decision log relaxed: within 15 % of the rate without a log"
    if score is None or off is None or not off.rate:
        out.append(Target(title, "not measured", math.nan, None))
    else:
        share = score.rate / off.rate
        out.append(Target(title, f"{share:.1%} ({score.rate:.0f} of {off.rate:.0f}/s)", share, share >= 0.85))
    forest, peer = by_key.get("ours-forest-never"), best(rows, model="sklearn", reasons=False)
    shap_peer, forest_always = best(rows, model="sklearn", reasons=True), by_key.get("ours-forest-always")
    out.append(_times("Forest, score and decision: at least 10x the best peer", forest, peer, 10))
    out.append(_times("Forest, reasons on every request: at least 10x a peer with shap.TreeExplainer", forest_always,
                      shap_peer, 10))  # fmt: skip
    return out


def _times(name: str, mine: Figure | None, peer: Figure | None, wanted: float) -> Target:
    if mine is None or peer is None:
        return Target(name, "not measured", math.nan, None)
    ratio = mine.rate / peer.capacity if peer.capacity else math.nan
    how = f"{peer.rate:.0f}/s" if peer.rate else f"none within 5 ms; {peer.throughput:.0f}/s without a limit"
    text = f"{ratio:.1f}x ({mine.rate:.0f}/s; {peer.product}, {peer.setting}: {how})"
    return Target(name, text, ratio, ratio >= wanted)


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
