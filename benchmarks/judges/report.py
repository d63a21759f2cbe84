"""From the figures on file to ``README.md`` and its plots: losses first, then the targets, then every cell."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

from . import plots
from .run import (
    ARGO,
    ARGO_99,
    ARGO_DOCS,
    FLAGGER,
    FLAGGER_DOCS,
    KAYENTA,
    OURS,
    OURS_05,
    OURS_1,
    OURS_PROMOTING,
    TUNED,
    Z_TUNED,
    Row,
    Z,
    read,
)

Key = tuple[float, float | str, float, float, float, str, float]


def key(row: Row) -> Key:
    """The cell of a row."""
    return row.rate, row.share, row.base, row.effect, row.onset, row.nuisance, row.minutes


def cells(rows: Iterable[Row]) -> dict[Key, dict[str, Row]]:
    """Cell → judge → row."""
    out: dict[Key, dict[str, Row]] = {}
    for row in rows:
        out.setdefault(key(row), {})[row.judge] = row
    return out


def _name(row: Row) -> str:
    share = "ramp 5-50 %" if row.share == "ramp" else f"{100 * float(row.share):g} %"
    onset = f", from minute {row.onset:g}" if row.onset else ""
    nuisance = "" if row.nuisance == "none" else f", {row.nuisance}"
    length = "" if row.minutes == 60 else f", {row.minutes / 60:g} h"
    effect = "good canary" if row.effect == 1 else f"{row.effect:g}x"
    return f"{row.rate:g} rps, {share}, base {100 * row.base:g} %, {effect}{onset}{nuisance}{length}"


def _minutes(value: float) -> str:
    return "–" if math.isinf(value) else f"{value:g}"


def _share(row: Row) -> str:
    return f"{100 * row.rolled_back / row.runs:.3g}"


def _interval(row: Row) -> str:
    return f"{_share(row)} [{100 * row.low:.2g}, {100 * row.high:.2g}]"


def _delay(row: Row) -> str:
    return f"{_minutes(row.delay)} ({_share(row)}) / {row.bad_requests:.3g}"


def _promotion(row: Row) -> str:
    return f"{_minutes(row.promote)} ({100 * row.promoted / row.runs:.3g}; {100 * row.undecided:.3g})"


def _missed(row: Row) -> float:
    return -row.rolled_back / row.runs


def _harmful(row: Row) -> bool:
    return row.effect >= 2 and row.onset == 0 and row.nuisance == "none"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(line) + " |" for line in body])


def _best(judges: dict[str, Row], value: Callable[[Row], float]) -> Row:
    return min((judges[name] for name in TUNED if name in judges), key=value)


def losses(by_cell: dict[Key, dict[str, Row]]) -> list[list[str]]:
    """Cells with an effect in which a tuned rival is sooner, detects more, or lets fewer bad requests through."""
    out = []
    for judges in by_cell.values():
        mine = judges[OURS]
        if mine.effect == 1:
            continue
        found, soonest = _best(judges, _missed), _best(judges, lambda r: r.delay)
        cheapest = _best(judges, lambda r: r.bad_requests)
        sooner = soonest.delay < mine.delay
        more = found.low > mine.high
        cheaper = cheapest.bad_requests < 0.9 * mine.bad_requests
        if sooner or more or cheaper:
            rival = soonest if sooner else found if more else cheapest
            why = ", ".join(
                word
                for word, is_so in (
                    ("sooner", sooner),
                    ("detects more", more),
                    ("fewer bad requests", cheaper),
                )
                if is_so
            )
            within = " (within our margin)" if mine.effect <= 1.25 else ""
            out.append([_name(mine) + within, why, _delay(mine), f"{rival.judge}: {_delay(rival)}"])
    return out


def targets(by_cell: dict[Key, dict[str, Row]]) -> list[list[str]]:
    """The targets, with what was reached."""
    good = [judges[OURS] for judges in by_cell.values() if judges[OURS].effect == 1]
    plain = [r for r in good if r.exchangeable]
    over = [r for r in plain if r.rolled_back / r.runs > 0.01]
    worst = max(plain, key=lambda r: r.high)
    out = [
        [
            "False rollback ≤ 1 % in every exchangeable cell",
            f"{len(plain) - len(over)} of {len(plain)} cells; largest {_interval(worst)} ({_name(worst)})",
            "reached" if not over else "missed",
        ]
    ]
    long = [r for r in plain if r.minutes == 240]
    if long:
        top = max(long, key=lambda r: r.high)
        out.append(
            [
                "... over 4 hours of looks every 15 s",
                f"largest {_interval(top)} ({_name(top)})",
                "reached" if top.rolled_back / top.runs <= 0.01 else "missed",
            ]
        )
    pods = [r for r in good if r.nuisance == "pods15"]
    if pods:
        top = max(pods, key=lambda r: r.high)
        out.append(
            [
                "≤ 2 % with pod effect sd 0.15, 3 canary pods, 60 min",
                f"largest {_interval(top)} ({_name(top)})",
                "reached" if top.rolled_back / top.runs <= 0.02 else "missed",
            ]
        )
    fast = [
        judges
        for judges in by_cell.values()
        if judges[OURS].rate >= 20
        and judges[OURS].effect >= 4
        and judges[OURS].share == 0.1
        and judges[OURS].nuisance == "none"
    ]
    met = [j for j in fast if j[OURS].delay <= _best(j, lambda r: r.delay).delay / 2]
    missed = [
        f"{_name(j[OURS])}: {j[OURS].delay:g} against {_best(j, lambda r: r.delay).delay:g} min"
        for j in fast
        if j not in met
    ]
    out.append(
        [
            "Median delay ≤ half of the best of Flagger, Argo, Kayenta (≥ 20 rps, ≥ 4x, 10 %)",
            f"{len(met)} of {len(fast)} cells" + ("; not in " + "; ".join(missed) if missed else ""),
            "reached" if not missed else "missed",
        ]
    )
    thin = [
        j
        for j in by_cell.values()
        if j[OURS].rate == 2 and j[OURS].effect > 1 and j[OURS].share == 0.1 and j[OURS].nuisance == "none"
    ]
    better = [
        j
        for j in thin
        if j[OURS].delay <= _best(j, lambda r: r.delay).delay
        and j[OURS].rolled_back / j[OURS].runs >= max(j[n].rolled_back / j[n].runs for n in TUNED) - 0.005
    ]
    out.append(
        [
            "At 2 rps better than them or equal (10 % share)",
            f"{len(better)} of {len(thin)} cells; not in "
            + "; ".join(
                f"{_name(j[OURS])}: {_share(j[OURS])} % detected in {_minutes(j[OURS].delay)} min against "
                f"{_share(_best(j, _missed))} % in {_minutes(_best(j, lambda r: r.delay).delay)} min"
                for j in thin
                if j not in better
            ),
            "missed" if len(better) < len(thin) else "reached",
        ]
    )
    loose = [j[OURS_05] for j in by_cell.values() if j[OURS_05].effect == 1 and j[OURS_05].exchangeable]
    top = max(loose, key=lambda r: r.rolled_back / r.runs)
    told = [j for j in thin if math.isfinite(min(j[OURS_05].delay, _best(j, lambda r: r.delay).delay))]
    sooner = [j for j in told if j[OURS_05].delay <= _best(j, lambda r: r.delay).delay]
    four = [j for j in thin if j[OURS_05].effect == 4 and j[OURS_05].base == 0.005 and j[OURS_05].onset == 0]
    out.append(
        [
            "The same with alpha = 5 %, by median delay alone",
            f"{len(sooner)} of the {len(told)} cells in which either has one; "
            f"false rollbacks at most {_interval(top)} ({_name(top)})"
            + "".join(
                f"; {_name(j[OURS_05])}: {_share(j[OURS_05])} % detected in {_minutes(j[OURS_05].delay)} min against "
                f"{_share(_best(j, _missed))} % in {_minutes(_best(j, lambda r: r.delay).delay)} min"
                for j in four
            ),
            "for comparison",
        ]
    )
    return out


def _every(
    by_cell: dict[Key, dict[str, Row]],
    wanted: Callable[[Row], bool],
    names: tuple[str, ...],
    show: Callable[[Row], str],
) -> str:
    body = [
        [_name(judges[OURS])] + [show(judges[name]) if name in judges else "" for name in names]
        for judges in sorted(
            by_cell.values(),
            key=lambda j: [str(v) if isinstance(v, str) else f"{v:012.4f}" for v in key(j[OURS])],
        )
        if wanted(judges[OURS])
    ]
    return _table(["cell", *names], body)


def _json(path: Path) -> list[dict[str, float]]:
    return json.loads(path.read_text()) if path.exists() else []


def _scores(path: Path) -> str:
    if not path.exists():
        return "Not run yet."
    with path.open() as file:
        lines = list(csv.DictReader(file))
    body = [
        [
            line["canary"],
            "good" if line["good"] == "True" else "broken",
            f"{float(line['rate']):g}",
            line["judge"],
            f"{line['harm']}/{line['runs']}",
            _minutes(float(line["harm_delay"])),
            f"{line['clear']}/{line['runs']}" if line["judge"] == "ours" else "",
            _minutes(float(line["clear_delay"])),
        ]
        for line in lines
    ]
    return _table(
        ["canary", "truth", "rps", "judge", "called harmful", "median min", "cleared", "median min"], body
    )


def write(out: Path) -> None:
    """Writes ``README.md`` and the plots from whatever figures are in ``out``."""
    source = out / "full.csv" if (out / "full.csv").exists() else out / "subset.csv"
    if not source.exists():
        return
    rows = read(source)
    by_cell = cells(rows)
    plots.false_rollbacks(out, by_cell)
    plots.delays(out, by_cell)
    plots.trade_off(out)
    main = (OURS, OURS_05, FLAGGER_DOCS, FLAGGER, ARGO_DOCS, ARGO_99, ARGO, KAYENTA, Z)
    equal = (OURS, OURS_05, OURS_1, FLAGGER, ARGO, KAYENTA, Z_TUNED)
    promoting = (
        OURS_PROMOTING,
        f"{FLAGGER_DOCS}, promoting after 10 good checks",
        f"{ARGO_DOCS}, promoting after 6 measurements",
        KAYENTA,
    )
    cost = _table(
        [
            "rps",
            "side",
            "update, median ms",
            "update, best ms",
            "judge, median ms",
            "judge, best ms",
            "state, bytes",
        ],
        [
            [
                f"{c['rate']:g}",
                str(c["side"]),
                f"{c['update_ms_median']:.2f}",
                f"{c['update_ms_best']:.2f}",
                f"{c['judge_ms_median']:.2f}",
                f"{c['judge_ms_best']:.2f}",
                f"{c['state_bytes']:.0f}",
            ]
            for c in _json(out / "cost.json")
        ],
    )
    limits = _table(
        ["share", "canary", "tolerated ratio", "level", "best look at 60 min, %", "ours, %", "split, %"],
        [
            [
                f"{100 * v['share']:g} %",
                "good" if v["effect"] == 1 else f"{v['effect']:g}x",
                f"{v['ratio']:g}",
                f"{100 * v['alpha']:g} %",
                *(f"{100 * v[name]:.3g}" for name in ("best", "ours", "split")),
            ]
            for v in _json(out / "limits.json")
        ],
    )
    text = f"""# Canary judges on the same traffic

Written by `python -m benchmarks.judges report`; do not edit. Figures: [`{source.name}`]({source.name})
({len(by_cell)} cells, {len(rows)} rows), [`scores.csv`](scores.csv), [`amoc.json`](amoc.json),
[`cost.json`](cost.json), [`limits.json`](limits.json).
Reproduce with `make bench-judges` (the subset) or `python -m benchmarks.judges full`. How to read it, and how the
rivals were rebuilt: [method.md](method.md). All rates are per replication of one hour unless a cell says
otherwise; intervals are Clopper-Pearson's at 95 %. Ours has `alpha = 1 %`, `beta = 5 %` and a margin of 1.25
throughout; nothing was tuned per cell. The rivals called *tuned* were, to at most 1 % false rollbacks at this very
rate, share and base rate: more than a user can know.

## Where we lose

A tuned rival is sooner, detects more (intervals apart), or lets through at least a tenth fewer bad requests. Each
entry: median delay in minutes (detected %) / mean excess bad requests. Small effects are where the margin costs most:
a canary at 1.25 times is within it by design, and one at 1.5 or 2 times is close to it.

{_table(["cell", "the rival", "ours", "rival"], losses(by_cell))}

## Targets

{_table(["target", "measured", ""], targets(by_cell))}

## What no valid comparison can do at 2 requests/s

Rejected within the hour, 400 traces (`limits.py`). *Best*: the most powerful test that knows the hour and looks once,
given the margins; a test that may be looked at any time cannot pass it. *Split*: half of the level on ours, half on
one such look at a time limit fixed in advance; valid, not shipped.

{limits}

## False rollbacks of a good canary, % [95 % interval]

![False rollbacks](false-rollbacks.png)

{_every(by_cell, lambda r: r.effect == 1 and r.exchangeable, main, _interval)}

### Where requests are not exchangeable between the arms

Pods that differ among themselves, and retries that stick to an arm, make the arms differ though no version is at fault.

{_every(by_cell, lambda r: r.effect == 1 and not r.exchangeable, main, _interval)}

## Delay and bad requests at equal false rollback

Median delay in minutes (detected %) / mean excess bad requests in the trace.

![Delays](delays.png)

{_every(by_cell, lambda r: r.effect > 1, equal, _delay)}

![Trade-off](trade-off.png)

## Time to promote a good canary

Median minutes (promoted %; undecided at the end %). Flagger, Argo and Kayenta promote by the clock, however little
was seen.

{_every(by_cell, lambda r: r.effect == 1 and r.minutes == 60, promoting, _promotion)}

### Harmful canaries that were promoted, %

Ours promotes what is within the larger of its two margins, by design: with the default absolute margin of 0.5 points
also a canary at four times a base rate of 0.1 %. Lower `marginAbsolute` where that is too much.

{_every(by_cell, _harmful, promoting, lambda r: f"{100 * r.promoted / r.runs:.3g}")}

## Scores of a trained model

LightGBM on generated payments; the canary gets 10 % of the traffic for 60 minutes; no labels.

{_scores(out / "scores.csv")}

## Cost

12 metrics of 20 buckets, 7 + 3 pods, CPU time of one core (`python -m benchmarks.judges cost`).

{cost}
"""
    (out / "README.md").write_text(text)
