"""From ``results.json`` to ``README.md``, its plots and the stored ratio: losses first, then targets, then all rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import plots
from .figures import Figure, Results, Target, batch_rates, figures, targets, uncertain
from .method import METHOD

_REASONS = {"none": "no", "adverse": "when adverse", "every": "every"}


def write(out: Path) -> list[str]:
    """Write everything below ``out``; returns the lines for the terminal."""
    results: Results = json.loads((out / "results.json").read_text())
    rows = figures(results)
    verdicts = targets(results, rows)
    measured = [r for r in rows if r.key != "null"]
    if measured:
        plots.rates(out, rows)
        plots.latency(out, results, rows)
        plots.cpu(out, rows)
    ratio = {r.key: round(r.cpu_ratio, 3) for r in rows if r.ours and not math.isnan(r.cpu_ratio)}
    (out / "cpu-ratio.json").write_text(json.dumps(ratio, indent=1, sort_keys=True) + "\n")
    sections = [
        _header(results, rows),
        _losses(rows, verdicts),
        _targets(verdicts),
        _rows("LightGBM, 300 trees of depth 6, 30 features", [r for r in rows if r.model == "lightgbm"]),
        "![Highest rates](rates.png)\n\n![p99 by offered rate](latency.png)\n\n![CPU per request](cpu.png)",
        _rows("scikit-learn forest, 200 trees of depth 10", [r for r in rows if r.model == "sklearn"]),
        _rows(
            "By entity: the fraud contract, 15 features from histories",
            [r for r in rows if r.model == "entity"],
        ),
        _batches(results),
        _crosscheck(results),
        _validity(results, rows),
        METHOD.strip(),
    ]
    (out / "README.md").write_text("\n\n".join(s for s in sections if s) + "\n")
    return [f"{_verdict(t):8} {t.name}: {t.measured}" for t in sorted(verdicts, key=lambda t: t.met is True)]


def _verdict(target: Target) -> str:
    return "open" if target.met is None else "reached" if target.met else "missed"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in body)])


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _header(results: Results, rows: Sequence[Figure]) -> str:
    m = results["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in m["libraries"].items())
    kind = "virtual machine" if m["hypervisor"] else "machine"
    text = f"""# The scorer beside MLServer, Seldon's wrapper, BentoML and LitServe

Written by `python -m benchmarks.scorer report`; do not edit. Figures: [`results.json`](results.json). Reproduce with
`make bench-scorer` (`SET=quick` for a few minutes, `SYSTEMS=ours,mlserver` for some). One run of
{results["minutes"]:g} minutes, set `{results["set"]}`, {results["rounds"]} round(s), seed {results["seed"]}, commit
`{m["commit"]}`; a {kind} with {m["cores"]} cores of {m["cpu"]}, {m["memory_gib"]:g} GiB, Linux {m["kernel"]}, Python
{m["python"]}; {versions}. Load before: {results["quiet_before"]["load"]:.2f}, steal
{results["quiet_before"]["steal"]:.1%}. **Only ratios within this run mean anything**: the absolute figures are this
machine's."""
    if results["plan"]["limit_ms"] != 5:
        text += f"\n\n**The limit on p99 was {results['plan']['limit_ms']:g} ms and not 5: a trial of the harness.**"
    null = next((r for r in rows if r.key == "null"), None)
    if null is not None and (why := uncertain(null, *(r for r in rows if r.ours))):
        text += (
            f"\n\n**Rates within 5 ms certify nothing in this run: {why}, so the machine's tail decided and not the "
            "servers. What can be compared is the CPU that a request takes: the targets marked *by CPU*.**"
        )
    if results["forced"]:
        text += (
            "\n\n**The machine was not quiet: this run was forced, and its figures are for trying the harness out, not "
            "for quoting.**"
        )
    return text


def _losses(rows: Sequence[Figure], verdicts: Sequence[Target]) -> str:
    lines = [f"- {t.name}: **missed**, {t.measured}." for t in verdicts if t.met is False]
    mine = next((r for r in rows if r.key == "ours-never"), None)
    if mine is not None:
        peers = [r for r in rows if not r.ours and r.key != "null" and r.model == mine.model]
        for what, value, unit in (
            ("resident memory", lambda r: r.rss, "MiB"),
            ("cold start to the first scored request", lambda r: r.ready, "s"),
            ("p99 at half of its own highest rate (Poisson)", lambda r: r.half["poisson"]["p99"] or math.inf, "ms"),
            ("p99.9 at half of its own highest rate (Poisson)", lambda r: r.half["poisson"]["p999"] or math.inf, "ms"),
        ):  # fmt: skip
            better = [r for r in peers if value(r) < value(mine)]
            if better:
                rival = min(better, key=value)
                lines.append(
                    f"- {what}: {rival.product}, {rival.setting} {value(rival):.3g} {unit}, ours {value(mine):.3g}."
                )
    missing = [t.name for t in verdicts if t.met is None]
    if missing:
        lines.append(f"- Not decided in this run: {'; '.join(missing)}.")
    return "## Where we lose\n\n" + ("\n".join(lines) or "Nowhere in this run.")


def _targets(verdicts: Sequence[Target]) -> str:
    return "## Targets\n\n" + _table(
        ("target", "measured", ""), ((t.name, t.measured, _verdict(t)) for t in verdicts)
    )


def _rows(title: str, rows: Sequence[Figure]) -> str:
    if not rows:
        return ""
    body: list[list[str]] = []
    for r in rows:
        rate = ("≥ " if r.limited and r.rate else "") + (f"{r.rate:.0f}" if r.rate else "none")
        spread = f" [{r.low:.0f}, {r.high:.0f}]" if r.rounds > 1 else ""
        poisson, constant = r.half["poisson"], r.half["constant"]
        body.append(
            [
                r.product, r.setting, r.protocol, _REASONS[r.reasons], rate + spread, f"{r.throughput:.0f}",
                f"{r.half_rate:.0f}", "/".join(_ms(poisson[q]) for q in ("p50", "p99", "p999")),
                "/".join(_ms(constant[q]) for q in ("p50", "p99", "p999")),
                f"{r.closed_cpu_us:.0f}", f"{r.closed_ratio:.1f}", f"{r.cpu_us:.0f} at {r.cpu_rate}",
                f"{r.cpu_ratio:.1f}", f"{r.half_cpu_us:.0f}",
                f"{r.rss:.0f} ({r.pss:.0f})", f"{r.ready:.1f}",
            ]
        )  # fmt: skip
    head = (
        "server", "setting", "protocol", "reasons", "requests/s with p99 ≤ 5 ms", "closed loop of 8, /s", "half of it",
        "p50/p99/p99.9 there, ms, Poisson", "… constant", "CPU us/request in that loop", "times null",
        "CPU us/request at rate", "times null",
        "CPU us at half", "RSS (PSS), MiB", "ready, s",
    )  # fmt: skip
    return f"## {title}\n\n" + _table(head, body)


def _batches(results: Results) -> str:
    rates = batch_rates(results)
    bare = {size: rates.get(f"bare/{size}") for size in ("32", "1000")}
    if not rates or not all(bare.values()):
        return f"## Batches\n\nNot measured: {results.get('batches', {}).get('failed', 'no rows')}."
    errors = results["batches"].get("errors", {})
    body: list[list[str]] = []
    for key, value in sorted(rates.items()):
        parts = key.split("/")
        size, library = parts[-1], bare[parts[-1]] or math.nan
        name = "`Booster.predict`, one thread" if parts[0] == "bare" else f"{parts[0]}, {parts[1]}"
        failed = f"{errors[key]} refused" if key in errors else ""
        body.append([name, size, f"{value:,.0f}", f"{value / library:.0%}", failed])
    text = (
        "Two connections in a closed loop, score and decision, rows/s; medians of three interleaved rounds."
    )
    return f"## Batches\n\n{text}\n\n" + _table(
        ("what", "rows a request", "rows/s", "of the bare library", "errors"), body
    )


def _crosscheck(results: Results) -> str:
    found = results.get("crosscheck", {})
    if not found.get("points"):
        return f"## A second tool\n\nNot run: {found.get('failed', 'no row to compare')}."
    body: list[list[str]] = []
    for point in found["points"]:
        closed, opened = point.get("closed", {}), point.get("open")
        if closed.get("wrk_errors"):
            body.append([point["key"], "closed, 8 connections", "", "void: wrk's requests were refused"])
            continue
        body.append([point["key"], "closed, 8 connections, /s", str(closed.get("ours_rps")),
                     f"wrk {closed.get('wrk_rps')}"])  # fmt: skip
        body.append(
            [point["key"], "… p50, ms", _ms(closed.get("ours_p50_ms")), f"wrk {closed.get('wrk_p50_ms')}"]
        )
        if opened:
            body.append([point["key"], f"open, {opened['rate']:.0f}/s, p50/p99 ms",
                         f"{_ms(opened['ours_p50_ms'])}/{_ms(opened['ours_p99_ms'])}",
                         f"oha {_ms(opened['oha_p50_ms'])}/{_ms(opened['oha_p99_ms'])}"])  # fmt: skip
    commit = found.get("commit")
    later = (
        f"Measured apart, at commit `{commit}`.\n\n"
        if commit and commit != results["machine"].get("commit")
        else ""
    )
    return f"## A second tool\n\n{later}" + _table(("row", "what", "our generator", "the other"), body)


def _validity(results: Results, rows: Sequence[Figure]) -> str:
    failed = [(b["key"], b["failed"]) for b in results["blocks"] if "failed" in b]
    proofs = [b["proof"] for b in results["blocks"] if "proof" in b and b["key"] != "null"]
    score = max((p["score_error"] for p in proofs), default=math.nan)
    reason = max((p["reason_error"] for p in proofs), default=math.nan)
    additivity = {k: v for k, v in results.get("additivity", {}).items() if k not in ("block_s", "commit")}
    refused = sorted(
        {(b["key"].split("-")[0], b["proof"]["malformed"]) for b in results["blocks"] if "proof" in b}
    )
    lines = [
        f"- Scores on 48 rows differ from the bare library's by at most {score:.1g}, contributions by at most "
        f"{reason:.1g} (ours are rounded to 1e-6); ours sum to the margin within "
        + (", ".join(f"{v:.1g} ({k})" for k, v in additivity.items()) or "(not measured)") + ".",
        "- A malformed request was answered with: "
        + ", ".join(f"{name} {status}" for name, status in refused if status) + ".",
        f"- The generator's own lag, p99, was at most {max((r.lag for r in rows), default=0):.3g} ms; the tails of "
        + (", ".join(r.key for r in rows if r.void) or "no row")
        + " are void (the lag was above a tenth of their p99) and only bound the server from above.",
        "- Highest rates that the generator, not the server, ended: "
        + (", ".join(r.key for r in rows if r.limited) or "none") + ".",
        f"- Other programs used at most {max((r.foreign for r in rows), default=0):.1%} of the two cores during a "
        f"row's tails, the hypervisor stole at most {max((r.steal for r in rows), default=0):.1%}.",
        f"- The fewest answers behind a p99.9 are {min((r.answers for r in rows), default=0)}; below 1,000 it is the "
        "largest or second largest latency.",
    ]  # fmt: skip
    if failed:
        lines.append("- Not measured:")
        lines += [f"    - {key}: {why}" for key, why in failed]
    return "## What was checked\n\n" + "\n".join(lines)
