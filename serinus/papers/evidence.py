"""What papers are made of: the reports that a run wrote, as its bundle keeps them, and what is known of the version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from serinus.bundle import Bundle
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.papers.libraries import Library
from serinus.papers.service import Service

Reports = dict[str, Any]


@dataclass(frozen=True)
class Demand:
    """One line of the gate's table, with the section of the report that it belongs to."""

    metric: str
    value: float | None
    threshold: str
    verdict: str
    blocks: bool
    note: str
    section: int
    low: float | None = None
    high: float | None = None
    n: int | None = None
    what: str = ""


@dataclass(frozen=True)
class Standing:
    """What registry and audit log know of a version; not in the bundle, which is older than all of it."""

    stage: str = ""
    built_by: str = ""
    run: str = ""
    created: str = ""
    key: str = ""
    approvals: tuple[tuple[str, str, str, str], ...] = ()
    """by, role, time, reason."""
    history: tuple[tuple[str, str, str, str], ...] = ()
    """time, stage, by, reason: every stage that the version entered."""
    reviews: tuple[tuple[str, str, str, str], ...] = ()
    """time, outcome, by, text."""
    open: tuple[str, ...] = ()
    """Why a review is due."""
    review_due: str = ""
    parity: tuple[int, float, str] | None = None
    """Golden rows, largest difference of their scores here from what the training library gave, what computed."""
    libraries: tuple[Library, ...] = ()
    """Locked libraries of making and serving it; empty where the lock file here is not the model's."""
    service: Service | str = ""
    """What became of its decisions, or why nothing is known of that."""
    outside: dict[str, Reports] = field(default_factory=dict)
    """Reports of the run that are not in the bundle, since they depend on where and when it ran: ``judgement`` (the
    gate's whole table), ``champion``, ``latency``; a name is absent where the run left none."""


@dataclass(frozen=True)
class Evidence:
    """Everything a paper may say.

    Attributes:
        card: ``card.json``; metrics, validation, provenance: the bundle's files of these names.
        files: name → SHA-256 and size, from the bundle's manifest; empty while the bundle is being made.
        digest: the bundle's; empty while it is being made.
        standing: None inside the bundle.
    """

    name: str
    version: int
    contract: Contract
    card: Reports
    metrics: Reports
    validation: Reports
    provenance: Reports
    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    digest: str = ""
    standing: Standing | None = None

    @property
    def subject(self) -> str:
        """How the version is called in a head: ``fraud v3``; the name alone before it has a number."""
        return f"{self.name} v{self.version}" if self.version else self.name

    @property
    def identity(self) -> Reports:
        """Name, owner, purpose, tier, contract."""
        return self.card.get("identity", {})

    @property
    def training_config(self) -> Reports:
        """The training part of the config that the model was made with."""
        return self.provenance.get("config", {}).get("training", {})

    @property
    def challenge(self) -> Reports:
        """The challenge's report."""
        return self.card.get("challenge", {})

    @property
    def fairness(self) -> Reports:
        """The fairness report."""
        return self.card.get("fairness", {})

    def outside(self, name: str) -> Reports:
        """A report of the run that is not in the bundle; empty where there is none."""
        return self.standing.outside.get(name, {}) if self.standing else {}

    @property
    def demands(self) -> list[Demand]:
        """Every demand of the gate, each in the section of the report that it belongs to."""
        groups = {item["name"]: item.get("group", "") for item in self.challenge.get("items", [])}
        table = self.outside("judgement").get("demands") or self.validation.get("demands", [])
        return [
            Demand(
                item["metric"], item["value"], item["threshold"], item["verdict"], item["blocks"],
                item.get("note", ""), section_of(item["metric"], item.get("group") or groups.get(item["metric"], "")),
                item.get("low"), item.get("high"), item.get("n"), item.get("what", ""),
            )
            for item in table
        ]  # fmt: skip


def of_bundle(bundle: Bundle, standing: Standing | None = None) -> Evidence:
    """The evidence that a bundle carries.

    Raises:
        SerinusError: ``SRN-PAPER-003`` it carries none (made without the pipeline, or by an older one).
    """
    try:
        card = msgspec.json.decode((bundle.path / "card.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        card = {}
    if "identity" not in card or "metrics" not in bundle.metrics:
        raise SerinusError(
            "SRN-PAPER-003",
            f"the bundle of {bundle.name} v{bundle.version} carries no evidence to write a paper from",
            where=str(bundle.path),
            hint="Papers are made of what the pipeline measured; build the model with `serinus pipeline run`.",
        )
    return Evidence(
        name=bundle.name,
        version=bundle.version,
        contract=bundle.contract,
        card=card,
        metrics=bundle.metrics,
        validation=bundle.validation,
        provenance=bundle.provenance,
        files={name: (entry.sha256, entry.size) for name, entry in sorted(bundle.manifest.files.items())},
        digest=bundle.digest,
        standing=standing,
    )


_BY_GROUP = (
    ("exposure", 1),
    ("leak", 2),
    ("concept", 3),
    ("monoton", 3),
    ("discrimin", 4),
    ("overfit", 4),
    ("calibrat", 5),
    ("stabil", 6),
    ("migrat", 6),
    ("drift", 6),
    ("stress", 7),
    ("sensitiv", 7),
    ("robust", 7),
    ("champion", 8),
    ("challenger", 8),
    ("benchmark", 8),
    ("expla", 9),
    ("fair", 10),
    ("backtest", 11),
    ("outcome", 11),
    ("latency", 12),
    ("implement", 12),
    ("parity", 12),
)
_BY_NAME = (
    ("single_feature_auc", 2),
    ("direction_violations", 3),
    ("brier", 5),
    ("log_loss", 5),
    ("calibration", 5),
    ("latency", 12),
    ("p99", 12),
    ("champion", 8),
    ("migration", 6),
    ("auc", 4),
    ("gini", 4),
    ("ks", 4),
    ("precision", 4),
    ("average_precision", 4),
    ("recall", 4),
    ("accuracy", 4),
    ("false_positive", 4),
    ("approved_share", 4),
    ("cost", 4),
    ("fairness", 10),
    ("adverse_impact", 10),
    ("equal", 10),
    ("demographic_parity", 10),
    ("protected_features", 9),
    ("additivity", 9),
    ("adverse_without_reason", 9),
    ("says_something", 9),
    ("first_reason", 9),
)


_WHATEVER_THE_GROUP = (("direction_violations", 3), ("contradicted_directions", 3), ("first_reason", 9))


def section_of(metric: str, group: str = "") -> int:
    """The section of the validation report that a demand belongs to: by what it is, else by the group that it was
    challenged in, else the findings, where nothing is lost."""
    for name, section in _BY_NAME if not group else _WHATEVER_THE_GROUP:
        if metric.startswith(name):
            return section
    for name, section in _BY_GROUP:
        if name in group:
            return section
    for name, section in _BY_NAME:
        if metric.startswith(name):
            return section
    return 14
