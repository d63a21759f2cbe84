"""A story's report: an HTML page with its plot, timeline and figures, made from the recording alone."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from serinus.home import atomic_write
from serving.local.demo.recording import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, CANARY, ALARM, QUIET = "#1f2933", "#c99700", "#b3261e", "#9aa5b1"


def write_report(recording: Recording, directory: Path) -> Path:
    """Write ``report.html``, ``rollout.svg`` and ``recording.json``; returns the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    atomic_write(directory / "recording.json", msgspec.json.format(msgspec.json.encode(recording), indent=1))
    plot(recording, directory / "rollout.svg")
    picture = (directory / "rollout.svg").read_text(encoding="utf-8")
    page = directory / "report.html"
    atomic_write(page, _page(recording, picture[picture.index("<svg") :]))
    return page


def plot(recording: Recording, path: Path) -> None:
    """Three panels over one time axis: share of traffic, evidence and its threshold, bad answers."""
    # Half a second of import, which every other command of the CLI would pay too.
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    points = recording.points
    t = [p.t for p in points]
    # The same recording gives the same bytes: no date, seeded ids.
    with mpl.rc_context({"svg.hashsalt": recording.name, "font.size": 9, "axes.edgecolor": QUIET}):
        figure, axes = plt.subplots(3, 1, figsize=(8, 5.4), sharex=True, height_ratios=[1, 1.5, 1])
        share, evidence, bad = axes
        share.step(t, [p.weight for p in points], where="post", color=CANARY, linewidth=2)
        share.fill_between(t, [p.weight for p in points], step="post", color=CANARY, alpha=0.2)
        share.set_ylabel("canary traffic %")
        share.set_ylim(-4, 104)
        seen = [(p.t, p.evidence) for p in points if p.evidence is not None]
        # The line below zero only says "no evidence"; cut off so that the threshold can be seen.
        evidence.plot([a for a, _ in seen], [max(b, -2.0) for _, b in seen], color=INK, linewidth=1.6)
        evidence.axhline(recording.threshold, color=ALARM, linestyle="--", linewidth=1.2)
        evidence.text(0, recording.threshold, " roll back ", color=ALARM, va="bottom")
        evidence.set_ylabel("evidence of harm\n(log₁₀ e-value)")
        bad.plot(t, [p.canary_bad for p in points], color=ALARM, label="canary")
        bad.plot(t, [p.champion_bad for p in points], color=QUIET, label="champion")
        bad.set_ylabel("bad answers")
        bad.set_xlabel("seconds since the rollout began")
        bad.legend(frameon=False, loc="upper left")
        for axis in axes:
            _clean(axis)
        share.set_title(f"{recording.title}: {recording.ended}", loc="left", color=INK, fontsize=11)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _clean(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    axis.set_axisbelow(True)


def _page(recording: Recording, picture: str) -> str:
    def text(value: object) -> str:
        return html.escape(str(value))

    last = recording.last
    facts = [
        ("champion", recording.champion),
        ("candidate", recording.candidate),
        ("what was wrong with it", recording.fault or "nothing"),
        ("ended", f"{recording.ended} after {recording.seconds:.0f} s (expected: {recording.expected})"),
        ("culprit", ", ".join(recording.culprits) or "none"),
        ("why", recording.why),
    ]
    if last is not None:
        facts += [
            ("answered by the candidate", f"{last.canary_requests:,}, of them badly {last.canary_bad:,}"),
            ("answered by the champion", f"{last.champion_requests:,}, of them badly {last.champion_bad:,}"),
        ]
    facts += [
        (f"latency of the {who}", ", ".join(f"{k} {v:.1f} ms" for k, v in values.items()))
        for who, values in recording.latency_ms.items()
    ]
    rows = "".join(f"<tr><th>{text(k)}</th><td>{text(v)}</td></tr>" for k, v in facts)
    guards = "".join(
        f"<tr><td>{text(g.get('guard'))}</td><td>{text(g.get('outcome'))}</td><td>{text(g.get('reason'))}</td></tr>"
        for g in recording.guards
    )
    moments = "".join(f"<tr><td>{m.t:.1f} s</td><td>{text(m.text)}</td></tr>" for m in recording.moments)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{text(recording.title)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; margin: 1rem 0; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e4e7eb }}
th {{ width: 14rem; font-weight: 600 }} svg {{ max-width: 100%; height: auto }}
</style>
<h1>{text(recording.title)}: {text(recording.ended)}</h1>
<table>{rows}</table>
{picture}
<h2>What each guard said</h2>
<table><tr><th>guard</th><th>verdict</th><th>reason</th></tr>{guards}</table>
<h2>Timeline</h2>
<table>{moments}</table>
</html>
"""
