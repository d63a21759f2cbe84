"""A frame drawn for a terminal: sections from the most urgent down, in as many lines as there are."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from serving.watch.terminal import cells
from serving.watch.terminal.frame import Alert, Drift, Feature, Labels, Measure, Rollout, Service, View, over

_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_FEWEST = 3
"""Features, or models, shown however low the terminal."""


class Screen:
    """A view as rich draws it.

    Args:
        height: lines there are; None shows everything.
        failing: why the view is not newer, where it could not be read again.
    """

    def __init__(self, view: View, *, height: int | None = None, failing: str = "") -> None:
        self._view = view
        self._height = height
        self._failing = failing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw, with as many features or models as there is room for."""
        height = self._height
        if height is None:
            yield _drawn(self._view, self._failing, options.max_width, None)
            return
        without = _drawn(self._view, self._failing, options.max_width, 0)
        used = len(console.render_lines(without, options, pad=False))
        several = len(self._view.models) > 1
        tables = 1 if several else max(1, sum(1 for d in self._view.drift if d.features))
        # Each such table has a head, and a line that says how many are not in it.
        rows = (height - used) // tables - 2
        yield _drawn(self._view, self._failing, options.max_width, max(_FEWEST, rows))


def _drawn(view: View, failing: str, width: int, rows: int | None) -> RenderableType:
    """The frame with so many rows in each table that may be long; None for all, 0 for no table."""
    parts: list[RenderableType] = [_header(view, failing)]
    if not view.models:
        parts.append(Text("No model is there: no program that serves one has said anything yet.", "yellow"))
    parts += _alerts(view)
    if len(view.models) > 1:
        parts += _models(view, rows)
        for rollout in [r for r in view.rollouts if r.phase not in cells.ENDED][:_FEWEST]:
            parts += _rollout(rollout)
        return Group(*parts)
    parts += _services(view, wide=width >= 110)
    for rollout in view.rollouts:
        parts += _rollout(rollout)
    for drift in view.drift:
        parts += _drift(drift, rows, wide=width >= 110)
    for labels in view.labels:
        parts += _labels(labels)
    parts += _absent(view)
    return Group(*parts)


def _header(view: View, failing: str) -> Text:
    at = datetime.fromtimestamp(view.at, UTC).strftime("%H:%M:%SZ")
    rates = cells.NONE if view.over is None else cells.span(view.over)
    line = Text.assemble(
        ("serinus watch", "bold"),
        f"  {', '.join(view.models) if len(view.models) < 4 else f'{len(view.models)} models'}",
        (f"  {at}  from {view.source}, rates over {rates}", "dim"),
    )
    if view.audit is not None and view.audit.broken:
        line.append("\nthe audit log's chain is broken: serinus audit verify", "bold red")
    for problem in (*view.problems, *([failing] if failing else [])):
        line.append(f"\n! {problem}", "red")
    return line


def _alerts(view: View) -> list[RenderableType]:
    if view.alerts is None:
        return []
    if not view.alerts:
        return [Text.assemble(("ALERTS", "bold"), ("  none fires", "green"))]
    shown: list[RenderableType] = [Text.assemble(("ALERTS", "bold"), f"  {len(view.alerts)} fire")]
    shown += [_alert(alert) for alert in view.alerts[:6]]
    if len(view.alerts) > 6:
        shown.append(Text(f"  and {len(view.alerts) - 6} more: --output json lists them", "dim"))
    return shown


def _alert(alert: Alert) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"  {alert.severity or 'alert':<8} ", _COLOURS.get(alert.severity, ""))
    line.append(alert.name)
    line.append(f"  {' '.join(part for part in (alert.model, alert.about) if part)}", "dim")
    if alert.retrain:
        line.append("  asks for retraining", "cyan")
    return line


def _models(view: View, most: int | None) -> list[RenderableType]:
    """All models in a table, those that need somebody first."""
    hint = Text("  --model NAME shows one of them by feature and measure", "dim")
    if most == 0:
        return [hint]
    table = cells.table("MODELS", "req/s", "errors", "p99", "rollout", "drift", "data", "labels", "alerts")
    rows = sorted((_model(view, model) for model in view.models), key=lambda row: row[:2])
    shown = rows if most is None else rows[:most]
    for _, _, row in shown:
        table.add_row(*row)
    lines: list[RenderableType] = [table]
    if len(rows) > len(shown):
        lines.append(Text(f"  and {len(rows) - len(shown)} models with less to see", "dim"))
    return [*lines, hint]


def _model(view: View, model: str) -> tuple[float, str, list[RenderableType]]:
    """How little a model needs somebody (the less, the more), its name, and its row."""
    services = [s for s in view.services if s.model == model]
    rates = [s.rate for s in services if s.rate is not None]
    phases = [r.phase for r in view.rollouts if r.model == model]
    drifts = [d for d in view.drift if d.model == model]
    labels = [found for found in view.labels if found.model == model]
    alerts = sum(1 for a in view.alerts or () if a.model == model)
    errors = cells.worst([s.errors for s in services])
    drift, bad = any(d.active for d in drifts), any(d.bad for d in drifts)
    low = any(f.worse or f.unfair or any(m.below for m in f.measures) for f in labels)
    row: list[RenderableType] = [
        model,
        cells.number(sum(rates) if rates else None),
        cells.share(errors, 0.001, 0.01),
        cells.time(cells.worst([s.p99 for s in services])),
        cells.phase(phases[0]) if phases else Text(cells.NONE),
        cells.flag(drift, "drifts") if drifts else Text(cells.NONE),
        cells.flag(bad, "bad") if drifts else Text(cells.NONE),
        cells.flag(low, "look") if labels else Text(cells.NONE),
        Text(cells.NONE) if view.alerts is None else cells.flag(alerts > 0, str(alerts), "0"),
    ]
    return -(10 * alerts + drift + bad + low + 100 * (errors or 0.0)), model, row


def _services(view: View, *, wide: bool) -> list[RenderableType]:
    if not view.services:
        return []
    more = ("in flight", "approve", "review", "decline") if wide else ()
    table = cells.table(
        "SERVICE", "vers.", "req/s", "errors", "p50", "p95", "p99", "slow", "shed/s", "log", *more
    )
    for service in view.services:
        table.add_row(*_service(service, wide=wide))
    return [table]


def _service(service: Service, *, wide: bool) -> list[RenderableType]:
    decisions = service.decisions or {}
    row: list[RenderableType] = [
        service.predictor,
        service.version or cells.NONE,
        cells.number(service.rate),
        cells.share(service.errors, 0.001, 0.01),
        cells.time(service.p50),
        cells.time(service.p95),
        cells.time(service.p99),
        cells.share(service.slow, 0.01, 0.05),
        cells.coloured(cells.number(service.shed), service.shed, 0.001, 1),
        cells.coloured(cells.number(service.behind), service.behind, 5_000, 20_000),
    ]
    if wide:
        row.append(cells.number(service.in_flight))
        row += [cells.share(decisions.get(d)) for d in ("approve", "review", "decline")]
    return row


def _rollout(rollout: Rollout) -> list[RenderableType]:
    share = rollout.weights.get("candidate")
    first = Text.assemble(
        ("ROLLOUT", "bold"), f"  {rollout.name or rollout.model}  ", cells.phase(rollout.phase)
    )
    if rollout.since is not None:
        first.append(f" for {cells.span(rollout.since)}")
    if share is not None:
        first.append(f", {rollout.candidate or 'candidate'} has {100 * share:.3g} %")
    lines: list[RenderableType] = [first]
    if rollout.evidence is None or rollout.threshold is None:
        lines.append(Text("  no evidence yet", "dim"))
    else:
        line = Text.assemble("  evidence of harm, log10 ", cells.bar(rollout.evidence / rollout.threshold))
        line.append(f" {cells.places(rollout.evidence, 2)} of {rollout.threshold:.2f}")
        line.append(" to roll back", "dim")
        line.no_wrap, line.overflow = True, "ellipsis"
        lines.append(line)
        if rollout.guards:
            told = ", ".join(f"{guard} {cells.places(value, 2)}" for guard, value in rollout.guards[:4])
            lines.append(Text(f"  by guard: {told}", no_wrap=True, overflow="ellipsis"))
    asked: list[str] = []
    for role in ("candidate", "champion"):
        good, bad = (rollout.requests.get(f"{role} {answer}") for answer in ("good", "bad"))
        if good is not None or bad is not None:
            asked.append(f"{role} {good or 0:,.0f} good {bad or 0:,.0f} bad")
    if rollout.looked is not None:
        asked.append(f"looked {cells.span(rollout.looked)} ago")
    if rollout.had_data is not None:
        asked.append(f"data {cells.span(rollout.had_data)} ago")
    if asked:
        lines.append(Text(f"  {', '.join(asked)}", "dim", no_wrap=True, overflow="ellipsis"))
    return lines


def _drift(drift: Drift, most: int | None, *, wide: bool) -> list[RenderableType]:
    line = Text.assemble(("DRIFT", "bold"), f"  {drift.predictor}  ")
    if drift.active:
        line.append(f"by {' and '.join(drift.active)}", "bold red")
    else:
        line.append("none", "green")
    if drift.quality is not None:
        line.append(f"; data quality {drift.quality:.3f}", "bold red" if drift.bad else "")
    if drift.coverage is not None:
        line.append(
            f"; {100 * drift.coverage:.0f} % of payloads seen", "yellow" if drift.coverage < 0.95 else ""
        )
    if drift.judged is not None:
        line.append(f"; judged {cells.span(drift.judged)} ago", "dim")
    lines: list[RenderableType] = [line]
    shown = drift.features if most is None else drift.features[:most]
    if shown and most != 0:
        table = cells.table(
            "  feature", "evidence", "of", "", "PSI", "limit", "missing", *(["p"] if wide else [])
        )
        for feature in shown:
            table.add_row(*_feature(feature, wide=wide))
        lines.append(table)
        hidden = len(drift.features) - len(shown)
        if hidden:
            lines.append(Text(f"  and {hidden} features below these", "dim"))
    return lines


def _feature(feature: Feature, *, wide: bool) -> list[RenderableType]:
    effect = over(feature.psi, feature.psi_limit)
    row: list[RenderableType] = [
        Text(f"  {feature.name}", "bold red" if feature.drifts else ""),
        cells.places(feature.evidence, 2),
        cells.places(feature.threshold, 2),
        cells.bar(over(feature.evidence, feature.threshold), 10) if feature.evidence is not None else "",
        Text(cells.places(feature.psi, 3), "red" if effect >= 1 else ""),
        cells.places(feature.psi_limit, 3),
        cells.share(feature.missing),
    ]
    return [*row, cells.places(feature.p_value, 4)] if wide else row


def _labels(labels: Labels) -> list[RenderableType]:
    line = Text.assemble(("LABELS", "bold"), f"  {labels.predictor}  ")
    told: list[str] = []
    if labels.coverage is not None:
        told.append(f"{100 * labels.coverage:.0f} % of {labels.due or 0:,.0f} due have come")
    if labels.concept is not None and labels.concept_threshold is not None:
        told.append(
            f"worse than at validation: {labels.concept:.2f} of {labels.concept_threshold:.2f}"
            f" ({labels.concept_question})"
        )
    line.append("; ".join(told) if told or labels.measures else "none has come")
    if labels.worse:
        line.append("; the model is worse than at validation", "bold red")
    if labels.unfair:
        line.append(f"; beyond the fairness limit: {', '.join(labels.unfair)}", "bold red")
    if not labels.measures:
        return [line]
    table = cells.table("  measure", "value", "95 % from", "to", "floor", "")
    for measure in labels.measures:
        table.add_row(
            f"  {measure.name}",
            Text(f"{measure.value:.3f}", "bold red" if measure.below else ""),
            cells.places(measure.low, 3),
            cells.places(measure.high, 3),
            cells.places(measure.floor, 3),
            Text(_said_of(measure), "dim"),
        )
    return [line, table]


def _said_of(measure: Measure) -> str:
    if measure.estimated:
        return "estimated, before labels"
    return "below its floor" if measure.below else ""


def _absent(view: View) -> list[RenderableType]:
    """What nobody reports, said and not left out."""
    missing = [
        word
        for word, there in (
            ("rollouts", view.rollouts),
            ("drift", view.drift),
            ("labels", view.labels),
            ("alerts (they need --prometheus)", view.alerts is not None),
        )
        if not there
    ]
    return [Text(f"nothing is reported of: {', '.join(missing)}", "dim")] if view.models and missing else []
