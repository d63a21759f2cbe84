"""Where the model comes from: identity, data, concept, and how to make it again (sections 1, 2, 3 and 15)."""

from __future__ import annotations

from typing import Any

from serinus.durations import parse_duration
from serinus.papers.document import Bullets, Column, Facts, Section, Table, Text, moment
from serinus.papers.evidence import Evidence
from serinus.papers.validation.parts import extras, section
from serinus.papers.validation.stake import exposure, exposure_missing


def identity(e: Evidence) -> Section:
    """Who owns it, what for, how material, who agreed."""
    who, standing = e.identity, e.standing
    rows = [
        ("Inventory id", e.subject),
        ("Bundle", e.digest or "the bundle that holds this page; its digest commits to it"),
        ("Owner", who.get("owner", "not stated")),
        ("Purpose", who.get("purpose", "not stated")),
        (
            "Materiality tier",
            f"{who.get('tier')} (1 is the most material)" if who.get("tier") else "not stated",
        ),
        ("Data contract", who.get("contract", e.contract.name)),
        ("Predicts", predicts(e)),
        ("Decides", decides(e)),
        (
            "Jurisdiction of its policy",
            e.contract.fairness.jurisdiction if e.contract.fairness else "none is set",
        ),
        (
            "Kind of model",
            f"{algorithm(e)}, fitted to data: neither a simple calculation nor fixed rules, nor generative",
        ),
    ]
    if standing is not None:
        rows += [
            ("Stage", standing.stage),
            ("Built", f"by {standing.built_by} in run {standing.run}, {moment(standing.created)}"),
        ]
    absent = [name for name in ("owner", "purpose") if who.get(name, "not stated") == "not stated"]
    blocks: list[Any] = [Facts(tuple(rows))]
    if standing is not None and standing.approvals:
        columns = (Column("Approved by"), Column("As"), Column("When"), Column("Reason"))
        blocks.append(
            Table("Approvals", columns, tuple((b, r, moment(t), why) for b, r, t, why in standing.approvals))
        )
    if standing is not None and standing.history:
        columns = (Column("When"), Column("What"), Column("Who"), Column("Why"))
        blocks.append(
            Table(
                "What was done with this version",
                columns,
                tuple((moment(t), *rest) for t, *rest in standing.history),
                FROM,
            )
        )
    blocks += exposure(e)
    missing = [
        *exposure_missing(e),
        "Approvals: none is recorded for this version."
        if standing is not None and not standing.approvals
        else None,
        "Stage, approvals and history: younger than the bundle; `serinus report` adds them from the registry."
        if standing is None
        else None,
    ]
    why = f"Not stated: {' and '.join(absent)}." if absent else "Owner, purpose and tier are stated."
    return section(
        1, "Identity and tier", e, blocks, missing=missing, verdict="attention" if absent else "pass", why=why
    )


FROM = "From the registry; each is an entry of the audit log too."


def data(e: Evidence) -> Section:
    """What it learned from, and whether the answer leaked into it."""
    found, split = e.card.get("data", {}), e.card.get("split", {})
    label = e.contract.label
    period = (
        f"{moment(found['first'])} to {moment(found['last'])}"
        if found.get("first")
        else "not dated: the records have no event time"
    )
    facts = [
        ("Records", f"{found.get('rows', 0):,}"),
        ("Digest", found.get("digest", "not recorded")),
        ("Period", period),
        ("Outcome", f"{label.column} is {label.positive}; {known(e)}"
         + (f". {label.description}" if label.description else "")),
        ("Without an outcome, left out", f"{split.get('unlabelled', 0):,}"),
        ("Repeated records, left out", f"{found['duplicates']:,}" if "duplicates" in found else "not recorded"),
        ("Left free between the parts", f"{split.get('gap', 'not recorded')}; {split.get('unused', 0):,} records"),
        ("Split", f"by {split.get('by')}" + (f", seed {split['seed']}" if split.get("by") == "seed" else "")),
    ]  # fmt: skip
    facts += _selection(found, split)
    if found.get("dropped"):
        facts.append(("Columns not in the contract, never read", ", ".join(found["dropped"])))
    blocks: list[Any] = [Facts(tuple(facts)), _parts(split), _columns(e), *extras(e, 2)]
    if e.card.get("notes"):
        blocks.append(Bullets(tuple(e.card["notes"])))
    missing = [
        "Reject inference: none was done. What those without an outcome would have done is not in the records; "
        + ("the bounds above hold whatever it was; " if split.get("unlabelled") else "")
        + "how the records came to be chosen is not recorded.",
        "Representativeness beyond the stability of section 6: no second population was given.",
    ]
    return section(2, "Data", e, blocks, missing=missing)


def _selection(found: dict[str, Any], split: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known of who has an outcome: bounds that assume nothing of the others (Manski 1989)."""
    parts = split.get("parts", {}).values()
    rows, bad = sum(p["rows"] for p in parts), sum(p["positives"] for p in parts)
    without = split.get("unlabelled", 0)
    if not rows:
        return []
    total = rows + without
    low, high = bad / total, (bad + without) / total
    said = f"{rows:,} of {total:,} records used or without an outcome have one ({100 * rows / total:.1f} %)"
    bounds = (
        f"; the bad share of all of them lies between {100 * low:.2f} and {100 * high:.2f} %, "
        "whatever became of the rest"
        if without
        else "; records of those who were never given the chance of one are not among them"
    )
    return [("Selection", said + bounds)]


def _parts(split: dict[str, Any]) -> Table | None:
    parts = split.get("parts", {})
    rows = tuple(
        (name, parts[name]["rows"], parts[name]["positives"], parts[name]["positives"] / max(parts[name]["rows"], 1),
         parts[name].get("from") or "not dated", parts[name].get("to") or "not dated")
        for name in ("train", "validation", "test") if name in parts
    )  # fmt: skip
    columns = (
        Column("Part"), Column("Rows", "count"), Column("Bad outcomes", "count"), Column("Share", "share"),
        Column("From"), Column("To"),
    )  # fmt: skip
    return Table("Parts", columns, rows) if rows else None


def _columns(e: Evidence) -> Table | None:
    missing = e.card.get("data", {}).get("missing", {})
    total = e.card.get("data", {}).get("rows", 0)
    used = {feature.column for feature in e.contract.features}
    protected = {item.column for item in e.contract.protected}
    rows = tuple(
        (
            name, column.type, _role(e, name, used, protected), column.missing,
            missing[name] / total if name in missing and total else None, column.description,
        )
        for name, column in e.contract.columns.items()
    )  # fmt: skip
    columns = (
        Column("Column", "name"), Column("Type"), Column("Used as"), Column("If missing"),
        Column("Missing", "share"), Column("Meaning"),
    )  # fmt: skip
    return Table("Columns", columns, rows) if rows else None


def _role(e: Evidence, name: str, used: set[str | None], protected: set[str]) -> str:
    if name == e.contract.label.column:
        return "outcome"
    if name in protected:
        return "fairness only"
    return "feature" if name in used else "not a feature"


def concept(e: Evidence) -> Section:
    """Whether the idea is sound: algorithm, features with their reasons, directions, limits."""
    config, training = e.training_config, e.card.get("training", {})
    facts = [
        ("Algorithm", algorithm(e)),
        (
            "Parameters",
            ", ".join(f"{name} {value}" for name, value in _parameters(config).items()) or "not recorded",
        ),
        ("Size", f"{training['trees']:,} trees" if training.get("trees") else "not recorded"),
        ("Trained on", f"{training.get('rows', 0):,} rows"),
        (
            "Calibrated",
            f"{config.get('calibration', 'not recorded')}, on {training.get('calibrated_on', 'not recorded')}",
        ),
        ("Mitigation", str(training.get("mitigation", "none"))),
        ("Features left out", str(training.get("without", "none") or "none")),
    ]
    directions = {-1: "less risk", 0: "none", 1: "more risk"}
    sources = {item["name"]: item["source"] for item in e.card.get("features", [])}
    rows = tuple(
        (
            f.name,
            sources.get(f.name, f.column or ""),
            directions[f.monotone],
            f.reason or f.description or "none given",
        )
        for f in e.contract.features
    )
    columns = (
        Column("Feature", "name"), Column("From"), Column("More of it means"), Column("Reason"),
    )  # fmt: skip
    limits = tuple(e.card.get("limits", ()))
    blocks = [
        Facts(tuple(facts)),
        Table("Features and why they are there", columns, rows, "A direction is what the contract declares."),
        Text("Limits", "heading") if limits else None,
        Bullets(limits) if limits else None,
    ]
    return section(3, "Conceptual soundness", e, blocks)


def reproduce(e: Evidence) -> Section:
    """How to make the same again, and by which digests to see that it is the same."""
    code, config = e.provenance.get("code", {}), e.provenance.get("config", {})
    facts = [
        ("Data", e.provenance.get("data", {}).get("digest", "not recorded")),
        ("Contract", e.provenance.get("contract", "not recorded")),
        ("Code", code.get("digest") or code.get("image") or "not recorded"),
        ("Locked libraries", code.get("lock") or "not recorded"),
        (
            "Libraries",
            ", ".join(f"{k} {v}" for k, v in sorted(code.get("libraries", {}).items())) or "not recorded",
        ),
        ("All of it, one digest", e.provenance.get("inputs", "not recorded")),
        (
            "Seeds",
            f"split {config.get('split', {}).get('seed')}, training {config.get('training', {}).get('seed')}",
        ),
        ("Bundle", e.digest or "the bundle that holds this page"),
    ]
    steps = (
        "Fetch the data whose SHA-256 is that above, and this repository at the code's digest.",
        "serinus pipeline run --contract CONTRACT --data DATA --config CONFIG, with this bundle's contract and config.",
        "Compare the bundle's digest: the same inputs give the same bytes, pages included, for the same version.",
    )
    incomplete = [name for name, value in facts[:3] if value == "not recorded"]
    why = (
        f"Not recorded: {', '.join(incomplete)}."
        if incomplete
        else "Every input is named by its digest; nothing in the bundle depends on clock, machine or builder."
    )
    return section(
        15, "Reproduce", e, [Facts(tuple(facts)), Bullets(steps, numbered=True)],
        verdict="attention" if incomplete else "recorded", why=why,
        missing=["Whether a second run gave the same bytes: not tried in this run."],
    )  # fmt: skip


def algorithm(e: Evidence) -> str:
    """The algorithm by its name in the training config."""
    return str(e.training_config.get("algorithm", "not recorded"))


def predicts(e: Evidence) -> str:
    """What the score is the probability of."""
    label = e.contract.label
    text = f"probability that {label.column} is {label.positive}, {known(e)}"
    return f"{text}: {label.description}" if label.description else text


def known(e: Evidence) -> str:
    """When outcomes are."""
    delay = e.contract.label.delay
    return f"known after {delay}" if parse_duration(delay) else "known at once"


def decides(e: Evidence) -> str:
    """What is decided from which score on."""
    rule = e.contract.decision
    review = f", refer to a person at {rule.review_at} and above" if rule.review_at is not None else ""
    return f"decline at {rule.decline_at} and above{review}, else approve"


def _parameters(config: dict[str, Any]) -> dict[str, Any]:
    name = config.get("algorithm", "")
    part = {"lightgbm": "parameters", "logistic_regression": "logistic"}.get(
        name, "boosting" if "boosting" in name else "forest"
    )
    return dict(sorted(config.get(part, {}).items()))
