"""The plots of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from .figures import Figure, Results

_COLOURS = {
    "serinus": "#0b6e4f",
    "null server": "#999999",
    "MLServer": "#30638e",
    "Seldon": "#d1495b",
    "BentoML": "#edae49",
    "LitServe": "#8d5a97",
}


def _colour(product: str) -> str:
    return next((c for name, c in _COLOURS.items() if product.startswith(name)), "#333333")


def _label(row: Figure) -> str:
    return f"{row.product}: {row.setting} ({row.protocol})"


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def rates(out: Path, rows: Sequence[Figure]) -> None:
    """Highest rate with p99 <= 5 ms, by row, on a logarithmic axis; hatched: with reasons on every request."""
    shown = [r for r in rows if r.key != "null" and r.model == "lightgbm"]
    figure, axes = plt.subplots(figsize=(10, 0.34 * len(shown) + 1.4))
    for y, row in enumerate(reversed(shown)):
        value = max(row.rate, 1)
        axes.barh(y, value, color=_colour(row.product), hatch="//" if row.reasons == "every" else None)
        if row.rounds > 1:
            axes.plot([max(row.low, 1), max(row.high, 1)], [y, y], color="black", lw=1)
        axes.text(value * 1.05, y, f"{row.rate:.0f}" if row.rate else "none", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [_label(r) for r in reversed(shown)], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("requests/s with p99 <= 5 ms and no error (hatched: contributions on every request)")
    _save(figure, out / "rates.png")


def latency(out: Path, results: Results, rows: Sequence[Figure]) -> None:
    """p99 by offered rate: every probe of every search, the headline rows."""
    figure, axes = plt.subplots(figsize=(9, 5))
    named = {r.key: r for r in rows}
    wanted = [r["key"] for r in results["rows"] if r["headline"] and r["key"] in named]
    for key in wanted:
        points = sorted(
            (p["rate"], p["p99"])
            for b in results["blocks"]
            if b["key"] == key
            for p in b.get("probes", [])
            if p["p99"] is not None
        )
        if points:
            row = named[key]
            dashes = "--" if row.reasons == "every" else "-"
            style: dict[str, Any] = {"color": _colour(row.product), "ms": 3, "lw": 0.8, "ls": dashes}
            axes.plot(*zip(*points, strict=True), marker=".", label=_label(row), **style)
    axes.axhline(5, color="black", lw=0.6, ls=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.03, 500)
    axes.set_xlabel("offered requests/s (Poisson)")
    axes.set_ylabel("p99 from the intended send time, ms")
    axes.legend(fontsize=7)
    _save(figure, out / "latency.png")


def cpu(out: Path, rows: Sequence[Figure]) -> None:
    """CPU per request relative to the null server."""
    shown = [r for r in rows if r.key != "null" and r.model == "lightgbm"]
    figure, axes = plt.subplots(figsize=(10, 0.34 * len(shown) + 1.4))
    for y, row in enumerate(reversed(shown)):
        axes.barh(
            y, row.cpu_ratio, color=_colour(row.product), hatch="//" if row.reasons == "every" else None
        )
        axes.text(row.cpu_ratio * 1.05, y, f"{row.cpu_ratio:.1f}", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [_label(r) for r in reversed(shown)], fontsize=8)
    axes.set_xscale("log")
    axes.axvline(5, color="black", lw=0.6, ls=":")
    axes.set_xlabel("server CPU per request, times the null server's at the same rate (dotted: 5)")
    _save(figure, out / "cpu.png")
