"""What another catalogue of models (MLflow) is told of a version: pure, from the registry and the bundle.

Of a version one part never changes (its run: parameters, figures, papers), told once; the other
does (where it stands, who agreed), told again whenever its fingerprint is another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from serinus.errors import SerinusError
from serinus.registry.policy import Approval
from serinus.registry.records import Data, Turn, Version
from serinus.registry.reviews import Review

PAPERS = (
    "card.html",
    "report.html",
    "card.json",
    "validation.json",
    "metrics.json",
    "contract.json",
    "provenance.json",
    "manifest.json",
    "signature.json",
)
"""What of a bundle is shown there; the model itself stays where it is, named by its digest."""
ALIASES = ("champion", "canary")
_FIGURE = 500  # MLflow's limit of a parameter's value, until 2.8
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A version as a catalogue shows it. ``papers`` are files, by path; ``about_model`` and ``about``
    are Markdown; ``aliases`` are those of the version, which no other version of the model has."""

    model: str
    version: int
    digest: str
    created: str
    run_name: str
    params: dict[str, str]
    metrics: dict[str, float]
    run_tags: dict[str, str]
    data: Data
    papers: tuple[str, ...]
    about_model: str
    model_tags: dict[str, str]
    about: str
    tags: dict[str, str]
    aliases: tuple[str, ...]

    def fingerprint(self) -> str:
        """Another one when anything is to be told anew."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue calls it: the run, and the number of the model's version there."""

    run: str
    number: str


class Catalogue(Protocol):
    """Where versions are told of. Telling the same again changes nothing."""

    def tell(self, entry: Entry) -> Told:
        """Make what the catalogue shows equal to the entry. Raises SerinusError ``SRN-MLFLOW-002``."""
        ...


class MemoryCatalogue:
    """A catalogue in memory; ``down`` makes it refuse."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int], Entry] = {}
        self.calls = 0
        self.down = False

    def tell(self, entry: Entry) -> Told:
        """Keep the entry."""
        self.calls += 1
        if self.down:
            raise SerinusError("SRN-MLFLOW-002", "no answer", where="memory", hint="Wait.")
        self.entries[entry.model, entry.version] = entry
        return Told(run=f"run-{entry.version}", number=str(entry.version))


def entry_of(
    version: Version,
    *,
    history: Sequence[Turn],
    approvals: Sequence[Approval],
    reviews: Sequence[Review],
) -> Entry:
    """The entry of a version. Papers that its bundle lacks, or that cannot be read, are left out."""
    path = Path(version.path)
    provenance, measured, validation = (
        _read(path / name) for name in ("provenance.json", "metrics.json", "validation.json")
    )
    lineage = version.lineage
    demands = [d for d in validation.get("demands", []) if isinstance(d, dict)]
    verdict = str(validation.get("verdict", "not stated"))
    about = _about(version, verdict, demands, history, approvals, reviews)
    common = {
        "serinus.digest": version.digest,
        "serinus.commit": lineage.commit,
        "serinus.code": lineage.code,
        "serinus.data": lineage.data.digest,
        "serinus.lock": lineage.lock,
        "serinus.run": version.run,
        "serinus.validation": verdict,
        "serinus.key": version.key,
    }
    state = {
        "serinus.stage": version.stage,
        "serinus.owner": version.owner,
        "serinus.built_by": version.built_by,
        "serinus.approved_by": ", ".join(sorted({approval.by for approval in approvals})),
        "serinus.reviewed": f"{reviews[-1].outcome} {reviews[-1].time[:10]}" if reviews else "",
        "serinus.version": str(version.version),
    }
    return Entry(
        model=version.model,
        version=version.version,
        digest=version.digest,
        created=version.created,
        run_name=f"{version.model} v{version.version}",
        params=parameters(provenance.get("config", {})),
        metrics=figures(measured, demands),
        run_tags=_said(
            common
            | {
                "mlflow.user": version.built_by,
                "mlflow.source.name": version.run,
                "mlflow.source.git.commit": lineage.commit,
                "mlflow.note.content": "What it was when it was built. Where it stands now is told by its version "
                "in the registry of models.",
            }
        ),
        data=lineage.data,
        papers=tuple(str(path / name) for name in PAPERS if (path / name).is_file()),
        about_model=_about_model(version),
        model_tags=_said({"serinus.owner": version.owner, "serinus.tier": _tier(version)}),
        about=about,
        tags=_said(common | state),
        aliases=tuple(alias for alias in ALIASES if version.stage == alias),
    )


def parameters(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The training config, flat: ``training.rounds`` → ``400``; lists as JSON, cut where MLflow cuts."""
    found: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= parameters(value, f"{name}.")
        elif value is not None and value != [] and value != "":
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            found[_name(name)] = text if len(text) <= _FIGURE else text[: _FIGURE - 1] + "…"
    return found


def figures(measured: Mapping[str, Any], demands: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Every figure with its interval (``auc``, ``auc.low``, ``auc.high``), and of each gate the value that was
    judged and whether it passed (``gates/auc``, ``gates/auc.passed``: 1, or 0). What was not measured is absent."""
    found: dict[str, float] = {}
    for name, value in _dict(measured.get("metrics")).items():
        _add(found, name, value)
    for name, interval in _dict(measured.get("intervals")).items():
        if isinstance(interval, list) and len(interval) == 2:
            _add(found, f"{name}.low", interval[0])
            _add(found, f"{name}.high", interval[1])
    for demand in demands:
        name = f"gates/{demand.get('metric', '')}"
        _add(found, name, demand.get("value"))
        if demand.get("verdict") in ("pass", "fail"):
            _add(found, f"{name}.passed", float(demand["verdict"] == "pass"))
    return found


def _about_model(version: Version) -> str:
    return (
        f"{version.purpose or 'Its purpose is not stated.'}\n\n"
        f"Owner: {version.owner}. Tier: {_tier(version) or 'not stated'} (1 is the most material).\n\n"
        "Kept by serinus, whose registry decides; what is changed here is not read back."
    )


def _about(
    version: Version,
    verdict: str,
    demands: Sequence[Mapping[str, Any]],
    history: Sequence[Turn],
    approvals: Sequence[Approval],
    reviews: Sequence[Review],
) -> str:
    lineage = version.lineage
    data = lineage.data
    lines = [
        f"**{version.model} v{version.version}** is **{version.stage}**. Validation: **{verdict}**.",
        "",
        f"Built by {version.built_by} on {version.created[:10]} in run `{version.run}`, from "
        f"{'records' if data.rows is None else f'{data.rows:,} records'} `{data.digest or 'not stated'}`"
        f"{f' ({data.first} to {data.last})' if data.first else ''}, "
        f"commit `{lineage.commit or 'not stated'}`, signed by key `{version.key}`.",
        "",
        f"Bundle `{version.digest}`. Verify it: `serinus bundle verify {version.path}`.",
    ]
    if demands:
        lines += [
            "",
            "Gates of its validation:",
            "",
            "| gate | value | required | verdict |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {_cell(d.get('metric'))} | {_cell(d.get('value'))} | {_cell(d.get('threshold'))} | "
            f"{_cell(d.get('verdict'))} |"
            for d in demands
        ]
    if history:
        lines += ["", "Where it has been:", "", "| stage | when | who | why |", "|---|---|---|---|"]
        lines += [
            f"| {_cell(t.stage)} | {_cell(t.time[:19])} | {_cell(t.by)} | {_cell(t.reason)} |"
            for t in history
        ]
    lines += [f"\nApproved by {a.by} ({a.role}) on {a.time[:10]}: {_cell(a.reason)}" for a in approvals]
    lines += [
        f"\nReviewed by {r.by} on {r.time[:10]}: **{r.outcome}**, next {r.next[:10]}. {_cell(r.reason)}"
        for r in reviews
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def _tier(version: Version) -> str:
    return "" if version.tier is None else str(version.tier)


def _add(found: dict[str, float], name: str, value: Any) -> None:
    if isinstance(value, int | float) and value == value and abs(value) != float("inf"):
        found[_name(name)] = float(value)


def _name(text: str) -> str:
    return _NOT_IN_NAMES.sub("_", text)[:250]


def _said(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if value}


def _read(path: Path) -> dict[str, Any]:
    try:
        return _dict(msgspec.json.decode(path.read_bytes()))
    except (OSError, msgspec.DecodeError):
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
