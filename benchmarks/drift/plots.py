"""The two plots of the report."""

from __future__ import annotations

import math
from pathlib import Path

_COLOURS = ("#0b5394", "#cc0000", "#e69138", "#6aa84f", "#999999", "#8e7cc3", "#45818e")


def draw(out: Path, alarms: list[dict[str, str]], delays: list[dict[str, str]]) -> None:
    """``delays.png`` and ``run-lengths.png`` from the tables on file."""
    import matplotlib

    matplotlib.use("Agg")
    if delays:
        _delays(out / "delays.png", delays)
    if alarms:
        _lengths(out / "run-lengths.png", [r for r in alarms if float(r["budget"])])


def _delays(path: Path, delays: list[dict[str, str]]) -> None:
    from matplotlib import pyplot as plt

    primary = [r for r in delays if r["primary"] == "True"]
    scenarios = list(dict.fromkeys(r["scenario"] for r in primary))
    monitors = list(dict.fromkeys(r["monitor"] for r in primary))
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for k, monitor in enumerate(monitors):
        by = {r["scenario"]: float(r["median"]) for r in primary if r["monitor"] == monitor}
        points = [
            (i + 0.1 * (k - len(monitors) / 2), min(by[s], 60.0)) for i, s in enumerate(scenarios) if s in by
        ]
        axes.scatter(
            *zip(*points, strict=True), label=monitor, color=_COLOURS[k % len(_COLOURS)], s=36, zorder=3
        )
    axes.set_yscale("log")
    axes.set_yticks([1, 2, 5, 10, 20, 40, 60], ["1", "2", "5", "10", "20", "40", "never"])
    axes.set_xticks(
        range(len(scenarios)),
        [s.replace(" from ", "\nfrom ").replace(" in ", "\nin ") for s in scenarios],
        fontsize=7,
    )
    axes.set_ylabel("looks to the alarm, median")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7, ncol=2)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": ""})
    plt.close(figure)


def _lengths(path: Path, rows: list[dict[str, str]]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 0.22 * len(rows) + 1))
    for i, r in enumerate(reversed(rows)):
        low, length = float(r["low"]) / float(r["budget"]), float(r["length"]) / float(r["budget"])
        colour = "#cc0000" if r["kept"] == "no" else "#0b5394"
        if math.isinf(length):
            axes.annotate("", (low * 4, i), (low, i), arrowprops={"arrowstyle": "->", "color": colour})
        else:
            axes.plot([low, float(r["high"]) / float(r["budget"])], [i, i], color=colour)
            axes.plot([length], [i], "o", color=colour, markersize=4)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [f"{r['stream']}: {r['monitor']}" for r in reversed(rows)], fontsize=6)
    axes.set_xlabel("measured run length / budget, 95 % bounds (arrow: no alarm, lower bound only)")
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": ""})
    plt.close(figure)
