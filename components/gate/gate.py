"""The validation gate: every demand with its number, and a stop if one is not met."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import msgspec

from components.config import Gate, Gates, parse_config
from components.evaluate.names import METRICS
from components.explain.names import CHECKS
from components.step import StepError, Summary, read_json, write_json
from serinus.fairness import MEASURES
from serinus.numerals import exact, figure

Verdict = Literal["pass", "fail", "no_data", "no_champion"]


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the gate's table.

    Attributes:
        metric, value: what was measured, and how much; None where it could not be.
        threshold: the limit in words of mathematics, or "reported".
        verdict: of the value against it; ``blocks`` says whether it stops the pipeline.
        note: what no number says: where, or why there is none.
        low, high: the value's 95 % interval, where one is known.
        n: rows behind it, where known.
        group: which part of the validation it belongs to.
        what: what the measure means.
    """

    metric: str
    value: float | None
    threshold: str
    verdict: Verdict
    blocks: bool
    note: str = ""
    low: float | None = None
    high: float | None = None
    n: int | None = None
    group: str = "performance"
    what: str = ""


def gate(
    metrics: Path,
    fairness: Path,
    explain: Path,
    challenge: Path,
    champion: Path,
    latency: Path,
    config: str,
    validation: Path,
    judgement: Path,
) -> Summary:
    """Judge the six reports by the configured gates and the contract's fairness policy.

    Args:
        metrics, fairness, explain, challenge, champion, latency: the reports of these steps.
        config: ``Gates`` as JSON text.
        validation: JSON to write, also when the gate fails: ``verdict``, ``demands``: those that
            follow from the model's inputs alone. It goes into card and bundle, whose bytes
            must be the same wherever they are made.
        judgement: the same with the champion and the latency, which depend on where and when
            the run was made: what this run was stopped or let through by.

    Raises:
        StepError: ``SRN-GATE-001`` a demand is not met; ``SRN-GATE-002`` none fails but
            one could not be measured; its details carry the table.
    """
    settings = parse_config(config, Gates, where="gates")
    of_model = [
        *of_metrics(settings, read_json(metrics)),
        *of_fairness(read_json(fairness), settings),
        *of_explain(read_json(explain)),
        *of_challenge(read_json(challenge)),
    ]
    demands = [*of_model, *of_challenge(read_json(champion)), *of_challenge(read_json(latency))]
    verdict, table = overall(demands), msgspec.to_builtins(demands)
    write_json(validation, {"verdict": overall(of_model), "demands": msgspec.to_builtins(of_model)})
    write_json(judgement, {"verdict": verdict, "demands": table})
    if verdict != "pass":
        raise _stopped(verdict, demands, table)
    return {"verdict": verdict, "demands": len(demands)}


def overall(demands: list[Demand]) -> Verdict:
    """Fail before no data before pass, over the demands that block."""
    verdicts = {demand.verdict for demand in demands if demand.blocks}
    if "fail" in verdicts:
        return "fail"
    return "no_data" if verdicts & {"no_data", "no_champion"} else "pass"


def of_metrics(settings: Gates, report: dict[str, Any]) -> list[Demand]:
    """The configured gates. A metric that is absent or not a number is no data."""
    return [_measured(item, report, settings) for item in settings.metrics]


def _measured(item: Gate, report: dict[str, Any], settings: Gates) -> Demand:
    value = _finite(report["metrics"].get(item.metric))
    low, high = (_finite(end) for end in report["intervals"].get(item.metric) or (None, None))
    limits = [f">= {exact(item.min)}"] if item.min is not None else []
    limits += [f"<= {exact(item.max)}"] if item.max is not None else []
    threshold = " and ".join(limits) + (", the whole interval" if item.by == "interval" else "")
    least, most = (low, high) if item.by == "interval" else (value, value)
    verdict: Verdict = "no_data"
    if value is not None and least is not None and most is not None:
        inside = (item.min is None or least >= item.min) and (item.max is None or most <= item.max)
        verdict = "pass" if inside else "fail"
    return Demand(
        metric=item.metric,
        value=value,
        threshold=threshold,
        verdict=verdict,
        blocks=verdict != "no_data" or settings.no_data == "stop",
        note="" if low is None or high is None else _between(low, high),
        low=low,
        high=high,
        n=report["counts"].get(item.metric, report["rows"]),
        what=METRICS[item.metric],
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def of_fairness(report: dict[str, Any], settings: Gates) -> list[Demand]:
    """The policy's findings. A group that cannot be judged does not block by itself; a
    policy under which nobody at all could be judged does."""
    found = [
        Demand(
            metric=f"{item['measure']} {item['attribute']}={item['group']}",
            value=item["value"],
            threshold=f"{'>=' if item['measure'].endswith('_ratio') else '<='} {exact(item['limit'])}",
            verdict=item["verdict"],
            blocks=item["verdict"] != "no_data",
            note="; ".join(part for part in (_interval(item), item["why"]) if part),
            low=item["low"],
            high=item["high"],
            n=item["rows"],
            group="fairness",
            what=MEASURES[item["measure"]],
        )
        for item in report["findings"]
    ]
    if report["verdict"] == "no_data":
        stops = settings.no_data == "stop"
        found.append(
            Demand(
                metric="fairness policy",
                value=None,
                threshold="measurable",
                verdict="no_data",
                blocks=stops,
                note="no protected group could be judged: too few rows, or differences that may be chance",
                group="fairness",
                what="whether the policy could be applied to anybody",
            )
        )
    return found


def of_explain(report: dict[str, Any]) -> list[Demand]:
    """The reasons' checks; without an adverse decision in the sample there is none to check."""
    return [
        Demand(
            metric=item["check"],
            value=item["value"],
            threshold=_limit(item),
            verdict=item["verdict"],
            blocks=item["verdict"] != "no_data",
            n=report["rows"],
            group="explanation",
            what=CHECKS[item["check"]],
        )
        for item in report["checks"]
    ]


def of_challenge(report: dict[str, Any]) -> list[Demand]:
    """The items of challenge, champion or latency, each with its interval; those without a limit are reported."""
    return [_challenged(item) for item in report["items"]]


def _challenged(item: dict[str, Any]) -> Demand:
    limits = [f">= {figure(item['minimum'])}"] if item["minimum"] is not None else []
    limits += [f"<= {figure(item['maximum'])}"] if item["maximum"] is not None else []
    notes = [_between(item["low"], item["high"])] if item["low"] is not None else []
    notes += [item["why"]] if item["why"] else []
    return Demand(
        metric=item["name"],
        value=item["value"],
        threshold=" and ".join(limits) or "reported",
        verdict=item["verdict"],
        blocks=item["blocks"],
        note="; ".join(notes),
        low=item["low"],
        high=item["high"],
        n=item["n"],
        group=item["group"],
        what=item["what"],
    )


def _limit(item: dict[str, Any]) -> str:
    return "> 0" if item["check"] == "says_something" else f"<= {exact(item['limit'])}"


def _interval(item: dict[str, Any]) -> str:
    if item["low"] is None:
        return ""
    chance = "" if item["sure"] or item["verdict"] == "no_data" else ", may be chance"
    return _between(item["low"], item["high"]) + chance


def _between(low: float, high: float) -> str:
    return f"95 %: {figure(low, 3)} to {figure(high, 3)}"


def _said(demand: Demand) -> str:
    return demand.verdict.replace("_", " ") if demand.value is None else figure(demand.value)


def _stopped(verdict: Verdict, demands: list[Demand], table: list[dict[str, Any]]) -> StepError:
    kinds = ("fail",) if verdict == "fail" else ("no_data", "no_champion")
    wrong = [demand for demand in demands if demand.blocks and demand.verdict in kinds]
    numbers = ", ".join(f"{demand.metric} {_said(demand)} ({demand.threshold})" for demand in wrong)
    if verdict == "fail":
        return StepError(
            "SRN-GATE-001",
            f"the model does not reach {len(wrong)} of {len(demands)} demands: {numbers}",
            where="validation gate",
            hint="Nothing was registered. Improve features, training or mitigation; the demands stand in "
            "the training config (gates) and the contract (fairness).",
            details={"verdict": verdict, "demands": table},
        )
    return StepError(
        "SRN-GATE-002",
        f"{len(wrong)} of {len(demands)} demands could not be measured: {numbers}",
        where="validation gate",
        hint="Nothing was registered: unmeasured is not passed. Give more data, drop that gate, or set "
        "gates.no_data: report.",
        details={"verdict": verdict, "demands": table},
    )
