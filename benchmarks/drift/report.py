"""From the figures on file to ``README.md`` and its plots: losses first, then the targets, then everything."""

# ruff: noqa: E501 (prose)

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

from . import plots

OURS = "ours"


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(line) + " |" for line in body])


def _number(text: str, unit: str = "") -> str:
    value = float(text)
    return "–" if math.isinf(value) else f"{value:.4g}{unit}"


def _by_scenario(delays: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    out: dict[str, list[dict[str, str]]] = {}
    for row in delays:
        out.setdefault(row["scenario"], []).append(row)
    return out


def best(rows: list[dict[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """(ours, the rival of the least median delay; among equals the least mean over found runs, of the most found)."""
    mine = next(r for r in rows if r["monitor"] == OURS)
    others = [r for r in rows if r["monitor"] != OURS]
    return mine, min(others, key=lambda r: (float(r["median"]), -float(r["found"]), float(r["mean"])))


def _delay(row: dict[str, str]) -> str:
    return f"{_number(row['median'])} ({_number(row['mean'])}; {100 * float(row['found']):.0f} %)"


def _losses(alarms: list[dict[str, str]], delays: list[dict[str, str]]) -> list[list[str]]:
    out = [
        [
            f"false alarms, {r['stream']}",
            r["monitor"],
            f"a run length of {_number(r['length'])} {r['unit']}",
            f"budget {_number(r['budget'])}",
        ]
        for r in alarms
        if r["monitor"].startswith(OURS) and r["kept"] == "no"
    ]
    for scenario, rows in _by_scenario(delays).items():
        mine, rival = best(rows)
        mean = float(mine["mean"]) if float(mine["found"]) == 1 else math.inf
        if float(mine["median"]) > float(rival["median"]) or mean > float(rival["mean"]) + 1e-9:
            why = (
                "later in the median"
                if float(mine["median"]) > float(rival["median"])
                else "later on average"
            )
            out.append(
                [f"delay, {scenario}", f"{rival['monitor']}: {_delay(rival)}", f"ours: {_delay(mine)}", why]
            )
    return out


def _targets(
    alarms: list[dict[str, str]], delays: list[dict[str, str]], blind: Any, cost: Any
) -> list[list[str]]:
    primary = [best(rows) for rows in _by_scenario(delays).values() if rows[0]["primary"] == "True"]
    within = [m["kind"] for m, r in primary if float(m["median"]) <= float(r["median"])]
    out = [
        [
            "delay within the best rival's at equal false alarms, in at least 4 of 6 kinds",
            f"{len(within)} of {len(primary)}: {', '.join(within)}",
            "yes" if len(within) >= 4 else "no" if len(primary) == 6 else "not all measured",
        ]
    ]
    mine = [r for r in alarms if r["monitor"].startswith(OURS)]
    lost = sorted({r["stream"] for r in mine if r["kept"] == "no"})
    hourly = [r for r in mine if "evidence alone, reference by the hour" in r["monitor"]]
    held = sorted({r["stream"] for r in mine if r["kept"] == "yes"} - set(lost))
    short = sorted({r["stream"] for r in mine} - set(lost) - set(held))
    out.append(
        [
            "the budget is held in each stream, or it is said which cannot be held and why",
            f"held: {', '.join(held)}; broken: {', '.join(lost) or 'none'} (the cycle is drift from an all-day reference; "
            f"by the hour {sum(int(r['alarms']) for r in hourly)} alarms in {sum(int(r['watched']) for r in hourly)} looks); "
            f"too short a stream to refute it: {', '.join(short) or 'none'}",
            "yes" if set(lost) <= {"daily cycle"} and not any(r["kept"] == "no" for r in hourly) else "no",
        ]
    )
    if blind:
        found, runs = blind["found_without_nan_and_with"], blind["runs"]
        out.append(
            [
                "a shift of 3 sd under 1 % NaN is found; Alibi Detect alone misses it",
                f"ours {found['ours'][1]} of {runs}, Alibi Detect {found['Alibi Detect KSDrift'][1]} of {runs} "
                f"(without NaN {found['Alibi Detect KSDrift'][0]})",
                "yes" if found["ours"][1] == runs and found["Alibi Detect KSDrift"][1] < runs / 2 else "no",
            ]
        )
    if cost:
        worst = max(s["us_per_row"] for s in cost["streams"] if not s["verdicts"])
        single, batched, _ = cost["monitor"]
        share = max(m["share_of_a_core_at_5000_rows_a_second"] for m in (single, batched))
        flat = [*cost["streams"], *cost["monitor"]]
        grown = max(s["rss_mib_at_the_end"] - s["rss_mib_after_first_tenth"] for s in flat)
        out += [
            [
                "at most 2 µs per row of 30 features, amortised",
                f"{worst:.2f} µs at looks of 500 rows",
                "yes" if worst <= 2 else "no",
            ],
            [
                "5,000 rows/s on a tenth of a core, HTTP and Alibi Detect apart",
                ", ".join(
                    f"{m['share_of_a_core_at_5000_rows_a_second']:.3f} in requests of {m['rows_a_request']}"
                    for m in (single, batched)
                )
                + " rows",
                "yes"
                if share <= 0.1
                else "in part"
                if min(single["us_per_row"], batched["us_per_row"]) <= 20
                else "no",
            ],
            ["memory flat over ten million rows", f"{grown:+.1f} MiB", "yes" if grown < 2 else "no"],
        ]
    return out


def write(out: Path) -> None:
    """Writes ``README.md`` and the plots from what is in ``out``."""
    alarms, delays = _read(out / "alarms.csv") + _read(out / "rivals.csv"), _read(out / "delays.csv")
    blind, cost, evidently = (_json(out / f"{name}.json") for name in ("blind", "cost", "evidently"))
    parts = [
        "# Drift monitors on the same traffic\n",
        "Written by `python -m benchmarks.drift report`; do not edit. Figures: `alarms.csv`, `rivals.csv`, `delays.csv`, `blind.json`,\n"
        "`cost.json`, `evidently.json`. Reproduce with `make bench-drift` (`SET=cost` on a quiet machine). How to read it:\n"
        "[method.md](method.md). A look is 500 rows; a week is 2,016 looks of five minutes. *Ours* is the e-detector of\n"
        "`serinus/watching` with its defaults, alarming on evidence and effect; nothing is tuned per stream.\n",
        "## Where we lose\n",
        _table(["where", "", "", ""], _losses(alarms, delays)),
        "\n## Targets\n",
        _table(["target", "measured", "reached"], _targets(alarms, delays, blind, cost)),
        "\n## Delay to detect\n",
        "Looks from the onset to the alarm: median (mean of the runs that found it; share that did). Every monitor is held\n"
        "to at most one false alarm a week: ours by its guarantee, the tests by Bonferroni's rule over columns and the\n"
        "week's windows; PSI > 0.1 at 500 rows and ten cells has fewer. Primary scenarios, one of each kind, in bold.\n",
        _delays(delays),
        "\n![Delay to detect](delays.png)\n" if delays else "",
        "\n## False alarms without drift\n",
        "`watched` looks (rows for the online detector) over all replicas; the run length is their number per alarm, with\n"
        "exact Poisson bounds. *kept*: yes, the lower bound reaches the budget; no, the upper bound does not; else not\n"
        "refuted. *Evidence alone* leaves the effect out: it is what the guarantee is about.\n",
        _alarms(alarms),
        "\n![Run lengths](run-lengths.png)\n" if alarms else "",
    ]
    if evidently:
        parts += [
            "\n## Evidently\n",
            "`DataDriftPreset` with its defaults on looks of 500 rows and ten columns without drift; it has no budget to set.\n",
            _table(
                ["stream", "looks", "looks with a drifted column", "CPU seconds per look"],
                [
                    [
                        s,
                        str(len(v["drifted_columns"])),
                        str(sum(d > 0 for d in v["drifted_columns"])),
                        f"{v['cpu_seconds_median']:.2f}",
                    ]
                    for s, v in evidently.items()
                ],
            ),
        ]
    if cost:
        parts += ["\n## Cost\n", _cost(cost)]
    (out / "README.md").write_text("\n".join(p for p in parts if p) + "\n")
    plots.draw(out, alarms, delays)


def _delays(delays: list[dict[str, str]]) -> str:
    groups = _by_scenario(delays)
    if not groups:
        return "Not measured yet."
    monitors = [r["monitor"] for r in next(iter(groups.values()))]
    body: list[list[str]] = []
    for scenario, rows in groups.items():
        name = f"**{scenario}**" if rows[0]["primary"] == "True" else scenario
        by = {r["monitor"]: r for r in rows}
        body.append([name] + [_delay(by[m]) if m in by else "" for m in monitors])
    return _table(["scenario", *monitors], body)


def _alarms(alarms: list[dict[str, str]]) -> str:
    body = [
        [
            r["stream"],
            r["monitor"],
            f"{_number(r['budget'])} {r['unit']}" if float(r["budget"]) else "none",
            r["watched"],
            r["alarms"],
            f"{_number(r['length'])} [{_number(r['low'])}, {_number(r['high'])}]",
            r["kept"],
        ]
        for r in alarms
    ]
    return _table(["stream", "monitor", "budget", "watched", "alarms", "run length [95 %]", "kept"], body)


def _cost(cost: Any) -> str:
    tally = [
        [str(t["batch"]), f"{t['us_per_row_median']:.2f}", f"{t['us_per_row_best']:.2f}"]
        for t in cost["tally"]
    ]
    streams = [
        [
            f"{s['rows']:,}",
            f"{s['look_rows']:,}",
            "yes" if s["verdicts"] else "no",
            f"{s['us_per_row']:.2f}",
            f"{s['share_of_a_core_at_5000_rows_a_second']:.4f}",
            f"{s['rss_mib_after_first_tenth']:.1f} → {s['rss_mib_at_the_end']:.1f}",
        ]
        for s in cost["streams"]
    ]
    monitor = [
        [
            str(m["rows_a_request"]),
            "Alibi Detect" if m["detector"] == "alibi" else str(m["detector"]),
            f"{m['rows']:,}",
            str(m["looks"]),
            f"{m['us_per_row']:.2f}",
            f"{m['share_of_a_core_at_5000_rows_a_second']:.4f}",
            f"{m['rss_mib_after_first_tenth']:.1f} → {m['rss_mib_at_the_end']:.1f}",
        ]
        for m in cost["monitor"]
    ]
    look = cost["look"]
    return "\n\n".join(
        [
            "30 features and the score, 1 % of values missing; load average at the time: "
            f"{cost['load_average']:.1f}; numpy {cost['numpy']}.",
            _table(["rows per batch", "µs per row, median", "best"], tally),
            _table(
                [
                    "rows",
                    "rows per look",
                    "a verdict on each",
                    "CPU µs per row",
                    "of a core at 5,000 rows/s",
                    "RSS MiB",
                ],
                streams,
            ),
            "The sidecar's worker: requests and answers as Seldon's logger sends them, decoded from JSON, read by the "
            "contract, counted, a verdict each minute of a traffic of 5,000 rows/s; HTTP apart.",
            _table(
                [
                    "rows per request",
                    "window tests",
                    "rows",
                    "looks",
                    "CPU µs per row",
                    "of a core at 5,000 rows/s",
                    "RSS MiB",
                ],
                monitor,
            ),
            f"Closing a look: {look['update_ms_median']:.2f} ms (best {look['update_ms_best']:.2f}); a verdict: "
            f"{look['judge_ms_median']:.2f} ms ({look['judge_ms_best']:.2f}). A sketch is {look['sketch_bytes']:,} bytes of "
            f"JSON, the evidence {look['evidence_bytes']:,}. Apart from that, Alibi Detect's KSDrift over the 30 columns in "
            f"windows of {cost['alibi']['window']} rows: {cost['alibi']['us_per_row_median']:.1f} µs per row.",
        ]
    )
