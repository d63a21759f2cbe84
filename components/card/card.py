"""The model card: written by the run from its own reports, never by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.config import Identity, parse_config
from components.evaluate.names import METRICS
from components.step import Summary, read_contract, read_json, write_json
from serinus.contract import Contract
from serinus.papers.card import model_card
from serinus.papers.evidence import Evidence
from serinus.papers.html import to_html


def card(
    contract: Path,
    ingested: Path,
    profile: Path,
    split: Path,
    training: Path,
    metrics: Path,
    fairness: Path,
    explain: Path,
    challenge: Path,
    validation: Path,
    identity: str,
    configs: dict[str, str],
    html: Path,
    data: Path,
) -> Summary:
    """Write the card as a page and as JSON.

    Args:
        contract: the contract; ``ingested`` to ``validation``: the reports of the steps
            of these names.
        identity: ``Identity`` as JSON text.
        configs: the JSON texts of the training config's parts, shown as they are.
        html, data: the files to write. No clock is read: the same run inputs give the
            same bytes, so the card may stand in the bundle.
    """
    checked, who = read_contract(contract), parse_config(identity, Identity, where="identity")
    reports = {
        "data": read_json(ingested),
        "profile": read_json(profile),
        "split": read_json(split),
        "training": read_json(training),
        "metrics": read_json(metrics),
        "fairness": read_json(fairness),
        "explain": read_json(explain),
        "challenge": read_json(challenge),
        "validation": read_json(validation),
    }
    content = build(checked, who, reports) | {"configs": configs}
    write_json(data, content)
    # Whose number and digest it will have is not known before it is registered.
    evidence = evidence_of(checked, content, reports["metrics"], reports["validation"], configs)
    html.write_text(to_html(model_card(evidence)), encoding="utf-8")
    return {"limits": len(content["limits"]), "kB": round(html.stat().st_size / 1000)}


DATA = ("digest", "rows", "labelled", "duplicates", "first", "last", "missing", "dropped")
"""Of what ingest found, what the papers tell."""


def build(contract: Contract, who: Identity, reports: dict[str, Any]) -> dict[str, Any]:
    """The card's content as plain values."""
    measured = reports["metrics"]
    return {
        "identity": {
            "name": who.name or contract.name,
            "owner": who.owner or "not stated",
            "purpose": who.purpose or contract.description or "not stated",
            "tier": who.tier,
            "contract": f"{contract.name} v{contract.version}",
        },
        "label": {
            "column": contract.label.column,
            "positive": str(contract.label.positive),
            "delay": contract.label.delay,
            "description": contract.label.description,
        },
        "decision": {
            "decline_at": contract.decision.decline_at,
            "review_at": contract.decision.review_at,
        },
        "data": {key: reports["data"].get(key) for key in DATA},
        "notes": reports["profile"]["notes"],
        "split": reports["split"],
        "training": reports["training"],
        "features": [_feature(contract, feature.name, reports["explain"]) for feature in contract.features],
        "metrics": [
            {
                "name": name,
                "value": measured["metrics"][name],
                "interval": measured["intervals"].get(name),
                "meaning": METRICS[name],
            }
            for name in METRICS
        ],
        "fairness": reports["fairness"],
        "explain": {key: reports["explain"].get(key) for key in ("rows", "base_value", "checks", "summary")},
        "proxies": reports["explain"]["proxies"],
        "challenge": reports["challenge"],
        "gates": reports["validation"]["demands"],
        "limits": limits(contract, who, reports),
    }


def limits(contract: Contract, who: Identity, reports: dict[str, Any]) -> list[str]:
    """What a reader must not conclude from the card, derived from the run."""
    found = list(who.limits)
    split, fair, measured = reports["split"], reports["fairness"], reports["metrics"]
    if split["by"] == "seed":
        found.append("The records carry no event time: the test rows are a random sample, not the future.")
    if measured["positives"] < 100:
        found.append(
            f"The test rows hold {measured['positives']} bad outcomes only; every number on them is uncertain."
        )
    if fair["verdict"] == "none":
        found.append("No fairness policy is set in the contract, so fairness was not judged.")
    elif fair["basis"] and "test" not in fair["basis"]:
        found.append(
            f"Fairness was judged on {fair['basis']}, because the test rows hold too few of some group: "
            "it speaks of this way of training rather than of this one model."
        )
    if fair.get("unsure"):
        found.append(f"{fair['unsure']} fairness verdicts may be chance: their interval crosses the limit.")
    small = sorted({f"{f['attribute']}={f['group']}" for f in fair["findings"] if f["verdict"] == "no_data"})
    if small:
        found.append(f"Too few rows to judge: {', '.join(small)}.")
    if split["unlabelled"]:
        found.append(f"{split['unlabelled']:,} records without an outcome were left out.")
    if contract.event.time is not None and split["gap"] != _same(contract):
        found.append(
            f"The gap between the parts is {split['gap']}, while outcomes are known after {contract.label.delay}."
        )
    return found


def evidence_of(
    contract: Contract,
    content: dict[str, Any],
    metrics: dict[str, Any],
    validation: dict[str, Any],
    configs: dict[str, str],
) -> Evidence:
    """What papers are made of, before the bundle is."""
    return Evidence(
        name=content["identity"]["name"],
        version=0,
        contract=contract,
        card=content,
        metrics=metrics,
        validation=validation,
        provenance={"config": {name: json.loads(text) for name, text in configs.items()}},
    )


def _same(contract: Contract) -> str:
    from serinus.durations import format_duration, parse_duration

    return format_duration(parse_duration(contract.label.delay))


def _feature(contract: Contract, name: str, explained: dict[str, Any]) -> dict[str, Any]:
    feature = contract.feature(name)
    if feature.aggregate is not None:
        over = (
            f"{feature.aggregate} of {feature.column or 'events'} by {feature.entity} over {feature.window}"
        )
        source = f"{over}, {feature.delay} ago" if feature.delay != "0s" else over
    else:
        source = f"{feature.part} of {feature.column}" if feature.part else str(feature.column)
    return {
        "name": name,
        "source": source,
        "description": feature.description or feature.reason,
        "importance": explained["importance"].get(name, 0.0),
    }
