"""Drawings as SVG text: the same bytes for the same numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

BLUE, GREY, ORANGE, RED, GREEN = "#1f5fa8", "#999999", "#c65d00", "#a31515", "#176b33"
Reports = dict[str, Any]


def _figure(width: float = 3.6, height: float = 2.6) -> tuple[Any, Any]:
    import matplotlib

    # Fixed salt and no date: ids and metadata would differ on every run otherwise, and with them the bundle's digest.
    matplotlib.rcParams["svg.hashsalt"] = "serinus"
    matplotlib.rcParams["font.size"] = 8
    # The object interface: pyplot would look for a display and keep every figure.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def calibration(bins: Sequence[Sequence[float]]) -> str:
    """Predicted against observed share by bin (predicted, observed, rows), with Wilson's 95 % intervals."""
    from serinus.intervals import wilson

    figure, axes = _figure()
    x, y = [b[0] for b in bins], [b[1] for b in bins]
    ends = [wilson(round(b[1] * b[2]), int(b[2])) for b in bins]
    below = [max(v - low, 0.0) for v, (low, _) in zip(y, ends, strict=True)]
    above = [max(high - v, 0.0) for v, (_, high) in zip(y, ends, strict=True)]
    top = max([*x, *(high for _, high in ends), 1e-6]) * 1.05
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--")
    axes.errorbar(
        x, y, yerr=[below, above], color=BLUE, marker="o", markersize=4, linewidth=1, elinewidth=0.8
    )
    axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, top), ylim=(0, top))
    return _svg(figure)


def roc(points: Sequence[Sequence[float]]) -> str:
    """Share of good outcomes above each score against that of bad ones."""
    return _curve(points, "share of good outcomes above", "share of bad outcomes above", (0, 1))


def precision_recall(points: Sequence[Sequence[float]], rate: float) -> str:
    """Precision against recall; chance gives the share of bad outcomes, ``rate``."""
    return _curve(points, "recall of bad outcomes", "precision", (rate, rate))


def _curve(points: Sequence[Sequence[float]], x: str, y: str, chance: tuple[float, float]) -> str:
    figure, axes = _figure()
    axes.plot([0, 1], chance, color=GREY, linewidth=1, linestyle="--")
    axes.plot([p[0] for p in points], [p[1] for p in points], color=BLUE, linewidth=1.5)
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.02))
    return _svg(figure)


def importance(shares: dict[str, float]) -> str:
    """Mean absolute contribution of the 12 strongest features."""
    shown = [
        item for item in sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:12] if item[1] > 0
    ][::-1]
    figure, axes = _figure(6.4, 0.5 + 0.16 * max(len(shown), 3))
    axes.barh([name for name, _ in shown], [value for _, value in shown], color=ORANGE, height=0.6)
    axes.set_xlabel("mean absolute contribution to the log-odds")
    return _svg(figure)


def shap_summary(summary: dict[str, Sequence[Sequence[float | None]]]) -> str:
    """One dot a row: how much a feature moved the log-odds, coloured by the value's rank from low to high; grey where
    it was missing. ``summary``: feature → (contribution, rank in [0, 1] or None), the strongest feature first."""
    import matplotlib
    import numpy as np
    from matplotlib.cm import ScalarMappable

    names = list(summary)[::-1]
    figure, axes = _figure(6.4, 0.8 + 0.25 * max(len(names), 3))
    colours = matplotlib.colormaps["coolwarm"]
    for line, name in enumerate(names):
        values = np.array([point[0] for point in summary[name]], dtype=np.float64)
        ranks = [point[1] for point in summary[name]]
        heights = line + _spread(values)
        axes.scatter(
            values, heights, s=7, linewidths=0, c=[GREY if rank is None else colours(rank) for rank in ranks]
        )
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="contribution to the log-odds of the bad outcome", ylim=(-0.6, len(names) - 0.4))
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=axes, ticks=[0, 1], fraction=0.03, pad=0.01)
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("value of the feature", labelpad=-12)
    return _svg(figure)


def _spread(values: Any) -> Any:
    """Heights in [-0.35, 0.35]: dots that would lie on each other are set apart, evenly and without chance."""
    import numpy as np

    width = float(np.ptp(values)) or 1.0
    cells = np.floor((values - values.min()) / width * 60).astype(int)
    counts = np.bincount(cells)
    seen: dict[int, int] = {}
    heights = np.zeros(values.size)
    for i, cell in enumerate(cells.tolist()):
        place = seen[cell] = seen.get(cell, -1) + 1
        side = (place + 1) // 2 * (1 if place % 2 else -1)
        heights[i] = 0.7 * side / max(counts.max(), 8)
    return heights


def over_time(rows: Sequence[Reports], limit: float | None) -> str:
    """PSI of the score by period with its interval, what chance alone gives, and the usual marks 0.1 and 0.25."""
    figure, axes = _figure(6.4, 2.3)
    x = list(range(len(rows)))
    _whiskers(axes, x, rows, "psi", colour=BLUE)
    axes.plot(
        x, [row["chance"] for row in rows], color=GREY, linewidth=1, linestyle=":", label="chance, 99 %"
    )
    axes.axhline(0.1, color=ORANGE, linewidth=0.8, linestyle="--", label="0.1")
    axes.axhline(limit or 0.25, color=RED, linewidth=0.8, linestyle="--", label=f"{limit or 0.25:g}")
    axes.set_xticks(x, [str(row["period"]) for row in rows], rotation=30, ha="right")
    axes.set(ylabel="PSI of the score", ylim=(0, None))
    axes.legend(frameon=False, fontsize=7, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return _svg(figure)


def by_period(rows: Sequence[Reports], minimum: float | None) -> str:
    """AUC by period with its interval."""
    figure, axes = _figure(6.4, 2.3)
    told = [row for row in rows if row["auc"] is not None and row["low"] is not None]
    _whiskers(axes, list(range(len(told))), told, "auc", colour=BLUE)
    if minimum is not None:
        axes.axhline(minimum, color=RED, linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(told)), [f"{row['from']}\nto {row['to']}" for row in told])
    axes.set_ylabel("AUC")
    return _svg(figure)


def _whiskers(axes: Any, x: list[int], rows: Sequence[Reports], name: str, *, colour: str) -> None:
    values = [row[name] for row in rows]
    below = [max(row[name] - row["low"], 0.0) for row in rows]
    above = [max(row["high"] - row[name], 0.0) for row in rows]
    axes.errorbar(
        x, values, yerr=[below, above], color=colour, marker="o", markersize=4, linewidth=1, capsize=2
    )


def forest(
    rows: Sequence[tuple[str, float | None, float | None, float | None, str]], limit: float, x: str
) -> str:
    """One line for each group: value and interval against a limit. A row without a value says so in its place.

    Args:
        rows: (label, value, low, high, verdict).
        limit: drawn as a line; x: what is measured.
    """
    figure, axes = _figure(6.4, 0.7 + 0.23 * max(len(rows), 2))
    ends = [v for _, value, low, high, _ in rows for v in (value, low, high) if v is not None]
    left, right = min([limit, *ends]), max([limit, *ends])
    room = (right - left or 0.1) * 0.08
    for line, (_, value, low, high, verdict) in enumerate(reversed(rows)):
        if value is None or low is None or high is None:
            axes.text(left, line, "insufficient", va="center", color=GREY, fontsize=8, style="italic")
            continue
        colour = RED if verdict == "fail" else BLUE
        axes.plot([low, high], [line, line], color=colour, linewidth=1.4)
        axes.plot([value], [line], color=colour, marker="o", markersize=5)
    axes.axvline(limit, color=RED, linewidth=0.9, linestyle="--")
    axes.set_yticks(range(len(rows)), [label for label, *_ in reversed(rows)])
    axes.set(xlabel=x, xlim=(left - room, right + room), ylim=(-0.6, len(rows) - 0.4))
    return _svg(figure)


def bars(rows: Sequence[tuple[str, float, float | None, float | None]], x: str) -> str:
    """One bar for each row (label, value, low, high), the first on top, with its interval."""
    figure, axes = _figure(6.4, 0.6 + 0.2 * max(len(rows), 2))
    places = list(range(len(rows)))[::-1]
    values = [value for _, value, _, _ in rows]
    axes.barh(places, values, color=ORANGE, height=0.6)
    for place, (_, _, low, high) in zip(places, rows, strict=True):
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color="#333333", linewidth=1)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(places, [label for label, *_ in rows])
    axes.set_xlabel(x)
    return _svg(figure)


def feature_curves(curves: Sequence[Reports]) -> str:
    """Partial dependence of each feature, three panels a line, each with the 95 % interval of its mean; numbers have
    accumulated local effects beside it, dashed, moved to the same mean height. All panels share their height's scale.

    Args:
        curves: entries of the challenge's ``curves``.
    """
    import matplotlib
    import numpy as np
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "serinus"
    matplotlib.rcParams["font.size"] = 8
    lines = -(-len(curves) // 3)
    figure = Figure(figsize=(6.4, 0.3 + 1.55 * lines), layout="constrained")
    panels = np.atleast_1d(figure.subplots(lines, 3, sharey=True)).ravel().tolist()
    for axes, curve in zip(panels, curves, strict=False):
        axes.spines[["top", "right"]].set_visible(False)
        mean = [point[1] for point in curve["pdp"]]
        low, high = [point[2] for point in curve["pdp"]], [point[3] for point in curve["pdp"]]
        if curve["kind"] == "category":
            places = list(range(len(mean)))
            ends = [
                [m - a for m, a in zip(mean, low, strict=True)],
                [b - m for m, b in zip(mean, high, strict=True)],
            ]
            axes.errorbar(
                places, mean, yerr=ends, color=BLUE, marker="o", markersize=4, linestyle="", capsize=2
            )
            axes.set_xticks(places, [_cut(str(point[0])) for point in curve["pdp"]], rotation=30, ha="right")
            axes.set_xlim(-0.5, len(places) - 0.5)
        else:
            at = [point[0] for point in curve["pdp"]]
            axes.fill_between(at, low, high, color=BLUE, alpha=0.2, linewidth=0)
            axes.plot(at, mean, color=BLUE, linewidth=1.2, marker="o", markersize=2)
            if curve["ale"]:
                effect = [point[1] for point in curve["ale"]]
                lift = float(np.mean(mean)) - float(np.mean(effect))
                where = [point[0] for point in curve["ale"]]
                axes.plot(where, [v + lift for v in effect], color=ORANGE, linewidth=1.2, linestyle="--")
            axes.locator_params(axis="x", nbins=4)
        axes.set_title(curve["feature"], fontsize=8)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    figure.supylabel("mean probability", fontsize=8)
    return _svg(figure)


def _cut(text: str) -> str:
    return text if len(text) <= 12 else text[:11] + "…"
