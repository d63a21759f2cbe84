"""Plots as SVG text that stands in an HTML page, the same bytes on every run."""

from __future__ import annotations

import io
from typing import Any

BLUE, GREY, ORANGE = "#1f5fa8", "#999999", "#c65d00"


def plots(metrics: dict[str, Any], importance: dict[str, float]) -> dict[str, str]:
    """Calibration, ROC, precision-recall and feature importance by name, as SVG."""
    import matplotlib

    # Fixed salt and no date: ids and metadata would differ on every run otherwise,
    # and with them the bundle's digest.
    matplotlib.rcParams["svg.hashsalt"] = "serinus"
    matplotlib.rcParams["font.size"] = 9
    curves = metrics["curves"]
    rate = metrics["positives"] / metrics["rows"] if metrics["rows"] else 0.0
    return {
        "calibration": _calibration(curves["calibration"]),
        "roc": _curve(curves["roc"], "share of good outcomes above", "share of bad outcomes above", (0, 1)),
        "precision_recall": _curve(
            curves["precision_recall"], "recall of bad outcomes", "precision", (rate, rate)
        ),
        "importance": _importance(importance),
    }


def _figure(width: float = 3.6, height: float = 3.1) -> tuple[Any, Any]:
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


def _calibration(bins: list[list[float]]) -> str:
    figure, axes = _figure()
    x, y = [b[0] for b in bins], [b[1] for b in bins]
    top = max([*x, *y, 1e-6]) * 1.08
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--")
    axes.plot(x, y, color=BLUE, marker="o", markersize=4, linewidth=1)
    axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, top), ylim=(0, top))
    return _svg(figure)


def _curve(points: list[list[float]], x: str, y: str, chance: tuple[float, float]) -> str:
    figure, axes = _figure()
    axes.plot([0, 1], chance, color=GREY, linewidth=1, linestyle="--")
    axes.plot([p[0] for p in points], [p[1] for p in points], color=BLUE, linewidth=1.5)
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.02))
    return _svg(figure)


def _importance(importance: dict[str, float]) -> str:
    shown = list(importance.items())[:15][::-1]
    figure, axes = _figure(6.0, 0.6 + 0.24 * max(len(shown), 3))
    axes.barh([name for name, _ in shown], [value for _, value in shown], color=ORANGE, height=0.6)
    axes.set_xlabel("mean absolute contribution to the log-odds")
    return _svg(figure)
