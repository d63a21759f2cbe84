"""The three plots of the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from .run import ARGO, ARGO_99, FLAGGER, FLAGGER_DOCS, KAYENTA, OURS, OURS_05, Z_TUNED, Row, Z

_COLOURS = {
    OURS: "#0b6e4f",
    OURS_05: "#6bbf9b",
    FLAGGER: "#d1495b",
    FLAGGER_DOCS: "#d1495b",
    ARGO: "#edae49",
    ARGO_99: "#edae49",
    KAYENTA: "#30638e",
    Z: "#999999",
    Z_TUNED: "#999999",
}
Cells = dict[Any, dict[str, Row]]


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def false_rollbacks(out: Path, by_cell: Cells) -> None:
    """Per judge, every exchangeable cell's share of good canaries rolled back, with its interval."""
    names = (OURS, OURS_05, FLAGGER_DOCS, ARGO_99, KAYENTA, Z)
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for place, name in enumerate(names):
        rows = sorted(
            (j[name] for j in by_cell.values() if name in j and j[name].effect == 1 and j[name].exchangeable),
            key=lambda r: r.rolled_back / r.runs,
        )
        for k, row in enumerate(rows):
            x = place + (k / max(1, len(rows) - 1) - 0.5) * 0.8
            axes.plot([x, x], [max(row.low, 1e-4), row.high], color=_COLOURS[name], lw=1, alpha=0.6)
            axes.plot(x, max(row.rolled_back / row.runs, 1e-4), ".", color=_COLOURS[name])
    axes.axhline(0.01, color="black", lw=0.8, ls="--")
    axes.set_yscale("log")
    axes.set_ylim(9e-5, 1.1)
    axes.set_xticks(
        range(len(names)), [n.replace(" (", "\n(").replace(", t", ",\nt") for n in names], fontsize=8
    )
    axes.set_ylabel("good canaries rolled back (0 drawn at 0.0001)")
    axes.set_title("False rollbacks, one mark per cell with its 95 % interval; dashed: 1 %")
    _save(figure, out / "false-rollbacks.png")


def delays(out: Path, by_cell: Cells) -> None:
    """Median delay by effect at each rate, 10 % share, 0.5 % base; all judges at equal false rollback."""
    names = (OURS, OURS_05, FLAGGER, ARGO, KAYENTA, Z_TUNED)
    figure, axes = plt.subplots(1, 3, figsize=(11, 4), sharey=True)
    for panel, rate in zip(axes, (2.0, 20.0, 200.0), strict=True):
        for name in names:
            points = sorted(
                (r.effect, r.delay)
                for j in by_cell.values()
                if (r := j[name]).rate == rate
                and r.share == 0.1
                and r.base == 0.005
                and r.effect > 1
                and r.onset == 0
                and r.nuisance == "none"
            )
            shown = [(e, min(d, 75)) for e, d in points]
            panel.plot(
                *zip(*shown, strict=True),
                marker="o",
                color=_COLOURS[name],
                label=name,
                ms=4,
                ls="--" if name in (OURS_05, Z_TUNED) else "-",
            ) if shown else None
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xticks([1.25, 2, 4, 20], ["1.25", "2", "4", "20"])
        panel.minorticks_off()
        panel.axhline(60, color="black", lw=0.6, ls=":")
        panel.set_title(f"{rate:g} requests/s")
        panel.set_xlabel("canary's errors, times stable's")
    axes[0].set_ylabel("median delay, min (above 60: under half detected)")
    axes[-1].legend(fontsize=7)
    _save(figure, out / "delays.png")


def trade_off(out: Path) -> None:
    """False rollbacks per hour against the median delay, as each knob sweeps."""
    path = out / "amoc.json"
    if not path.exists():
        return
    table = json.loads(path.read_text())
    figure, axes = plt.subplots(1, len(table), figsize=(11, 4), squeeze=False)
    colours = ("#0b6e4f", "#6bbf9b", "#d1495b", "#edae49", "#999999")
    for panel, entry in zip(axes[0], table, strict=True):
        for colour, (name, points) in zip(colours, entry["curves"].items(), strict=True):
            shown = [(max(p["false"], 3e-4), p["delay"]) for p in points if math.isfinite(p["delay"])]
            if shown:
                panel.plot(*zip(*shown, strict=True), ".-", color=colour, label=name, ms=4)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.axvline(0.01, color="black", lw=0.6, ls=":")
        panel.set_title(f"{entry['rate']:g} requests/s, {entry['effect']:g}x errors")
        panel.set_xlabel("false rollbacks per hour")
    axes[0][0].set_ylabel("median delay, min")
    axes[0][0].legend(fontsize=7)
    _save(figure, out / "trade-off.png")
