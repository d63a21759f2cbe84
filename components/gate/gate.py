"""The validation gate: every demand with its number, and a stop if one is not met."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import msgspec

from components.config import Gates, parse_config
from components.step import StepError, Summary, read_json, write_json

Verdict = Literal["pass", "fail", "no_data"]


class Demand(msgspec.Struct, frozen=True):
    """One line of the gate's table. ``blocks`` says whether its verdict stops the pipeline."""

    metric: str
    value: float | None
    threshold: str
    verdict: Verdict
    blocks: bool
    note: str = ""


def gate(
    metrics: Path, fairness: Path, explain: Path, challenge: Path, config: str, validation: Path
) -> Summary:
    """Judge the four reports by the configured gates and the contract's fairness policy.

    Args:
        metrics, fairness, explain, challenge: the reports of these steps.
        config: ``Gates`` as JSON text.
        validation: JSON to write, also when the gate fails: ``verdict``, ``demands``.

    Raises:
        StepError: ``SRN-GATE-001`` a demand is not met; ``SRN-GATE-002`` none fails but
            one could not be measured; its details carry the table.
    """
    settings = parse_config(config, Gates, where="gates")
    demands = [
        *of_metrics(settings, read_json(metrics)["metrics"]),
        *of_fairness(read_json(fairness), settings),
        *of_explain(read_json(explain)),
        *of_challenge(read_json(challenge)),
    ]
    verdict = overall(demands)
    table = msgspec.to_builtins(demands)
    write_json(validation, {"verdict": verdict, "demands": table})
    if verdict != "pass":
        raise _stopped(verdict, demands, table)
    return {"verdict": verdict, "demands": len(demands)}


def overall(demands: list[Demand]) -> Verdict:
    """Fail before no data before pass, over the demands that block."""
    verdicts = {demand.verdict for demand in demands if demand.blocks}
    return "fail" if "fail" in verdicts else "no_data" if "no_data" in verdicts else "pass"


def of_metrics(settings: Gates, measured: dict[str, float | None]) -> list[Demand]:
    """The configured gates. A metric that is absent or not a number is no data."""
    found: list[Demand] = []
    for item in settings.metrics:
        value = measured.get(item.metric)
        limits = [f">= {item.min:g}"] if item.min is not None else []
        limits += [f"<= {item.max:g}"] if item.max is not None else []
        verdict: Verdict = "no_data"
        if value is not None and math.isfinite(value):
            low = item.min is None or value >= item.min
            high = item.max is None or value <= item.max
            verdict = "pass" if low and high else "fail"
        blocks = verdict != "no_data" or settings.no_data == "stop"
        found.append(Demand(item.metric, value, " and ".join(limits), verdict, blocks))
    return found


def of_fairness(report: dict[str, Any], settings: Gates) -> list[Demand]:
    """The policy's findings. A group too small to judge does not block by itself; a
    policy under which nobody at all could be judged does."""
    found = [
        Demand(
            f"{item['measure']} {item['attribute']}={item['group']}",
            item["value"],
            f"{'>=' if item['measure'].endswith('_ratio') else '<='} {item['limit']:g}",
            item["verdict"],
            item["verdict"] != "no_data",
            item["why"] or _interval(item),
        )
        for item in report["findings"]
    ]
    if report["verdict"] == "no_data":
        why = "no protected group is large enough to be judged"
        found.append(
            Demand("fairness policy", None, "measurable", "no_data", settings.no_data == "stop", why)
        )
    return found


def of_explain(report: dict[str, Any]) -> list[Demand]:
    """The reasons' checks; without an adverse decision in the sample there is none to check."""
    return [
        Demand(item["check"], item["value"], _limit(item), item["verdict"], item["verdict"] != "no_data")
        for item in report["checks"]
    ]


def of_challenge(report: dict[str, Any]) -> list[Demand]:
    """The challenge's tests, each with its interval; those without a limit are reported."""
    return [_challenged(item) for item in report["items"]]


def _challenged(item: dict[str, Any]) -> Demand:
    limits = [f">= {item['minimum']:g}"] if item["minimum"] is not None else []
    limits += [f"<= {item['maximum']:.4g}"] if item["maximum"] is not None else []
    notes = [f"95 %: {item['low']:.3f} to {item['high']:.3f}"] if item["low"] is not None else []
    notes += [item["why"]] if item["why"] else []
    threshold = " and ".join(limits) or "reported"
    return Demand(item["name"], item["value"], threshold, item["verdict"], item["blocks"], "; ".join(notes))


def _limit(item: dict[str, Any]) -> str:
    return "> 0" if item["check"] == "says_something" else f"<= {item['limit']:g}"


def _interval(item: dict[str, Any]) -> str:
    chance = "" if item["sure"] else ", may be chance"
    return f"95 %: {item['low']:.3f} to {item['high']:.3f}{chance}"


def _stopped(verdict: Verdict, demands: list[Demand], table: list[dict[str, Any]]) -> StepError:
    wrong = [demand for demand in demands if demand.blocks and demand.verdict == verdict]
    numbers = ", ".join(
        f"{demand.metric} {'no data' if demand.value is None else f'{demand.value:.4g}'} ({demand.threshold})"
        for demand in wrong
    )
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
