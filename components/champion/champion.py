"""Whether the candidate may take the champion's place: both on the same rows, which neither has seen."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import auc_interval
from components.challenge.item import Item
from components.champion.bring import bring
from components.champion.compare import Costs, compare, no_champion, nothing
from components.champion.rows import Seen, features_of, seen
from components.config import Champion, parse_config
from components.step import Summary, read_contract, read_json, write_json
from components.table import TEST, encode, read_features
from components.train.booster import load
from components.train.train import MODEL, load_calibrator, load_levels
from serinus.bundle import Bundle
from serinus.contract import Contract
from serinus.scoring import Scorer

Floats = NDArray[np.float64]
FEW = 20
"""Bad outcomes below which two models are not compared."""


def champion(
    contract: Path,
    ingested: Path,
    records: Path,
    features: Path,
    assignment: Path,
    model: Path,
    bundle: str,
    digest: str,
    split_config: str,
    config: str,
    report: Path,
) -> Summary:
    """Compare the candidate with the champion on the same test rows.

    Each decides by its own contract's thresholds; the costs are the candidate's contract's. Where the
    champion reads other features, they are computed from the same records by its own contract.
    Test rows of the period that the champion learned from are left out.

    Args:
        contract, ingested, records, features, assignment, model: as the steps before give them.
        bundle: the champion's bundle, a directory or a URI; "" where there is no champion yet.
        digest: which bundle it must be; may be "" where the URI names it.
        split_config, config: ``Split`` and ``Champion`` as JSON text.
        report: JSON to write: ``champion`` (name, version, digest; null without one), ``rows``, ``items``,
            ``models`` (AUC with interval, cost, precision, recall of both), ``decisions`` (rows by both
            decisions and outcome) and ``swap_set``.

    Raises:
        SerinusError: ``SRN-PIPELINE-042`` the bundle's digest is not known; those of reading
            a bundle: a champion that cannot be read is not the same as none.
    """
    checked, settings = read_contract(contract), parse_config(config, Champion, where="champion")
    if not bundle:
        _write(report, None, 0, [no_champion(settings)], {})
        return {"verdict": "no champion"}
    with tempfile.TemporaryDirectory(prefix="champion-", dir=report.parent) as scratch:
        found = bring(bundle, digest, Path(scratch) / "bundle")
        known = seen(found, read_json(ingested)["digest"], split_config)
        items, tables, rows = _judge(
            checked, settings, found, known, (records, features, assignment, model), Path(scratch)
        )
        about = {"name": found.name, "version": found.version, "digest": found.digest}
        _write(report, about, rows, items, tables)
    first = items[0]
    shown = (
        "no data" if first.value is None else f"{first.value:+.4f} ({first.low:+.4f} to {first.high:+.4f})"
    )
    return {
        "champion": f"{about['name']} v{about['version']}",
        "rows": f"{rows:,}",
        "AUC difference": shown,
        "verdict": first.verdict.replace("_", " "),
    }


def _judge(
    contract: Contract,
    settings: Champion,
    bundle: Bundle,
    known: Seen,
    paths: tuple[Path, Path, Path, Path],
    scratch: Path,
) -> tuple[list[Item], dict[str, Any], int]:
    records, features, assignment, model = paths
    rows, codes = read_features(contract, features), np.load(assignment)
    chosen = np.flatnonzero(codes == TEST)
    tested = chosen.size
    if known.until is not None and rows.time is not None:
        chosen = chosen[rows.time[chosen] > known.until]
    left_out = tested - chosen.size
    chosen = chosen[np.linspace(0, chosen.size - 1, min(settings.rows, chosen.size)).astype(int)]
    outcome = rows.outcome[chosen]
    if min(int(outcome.sum()), int((outcome == 0).sum())) < FEW:
        why = f"{int(outcome.sum())} bad outcomes in {chosen.size:,} rows" + (
            f"; the champion has learned from the period of the other {left_out:,}" if left_out else ""
        )
        return nothing(settings, why), {}, int(chosen.size)
    theirs = features_of(bundle.contract, contract, records, features, scratch)
    if isinstance(theirs, str):
        return nothing(settings, theirs), {}, int(chosen.size)
    columns = {name: values[chosen] for name, values in theirs.items()}
    before = Scorer(bundle).probabilities(encode(bundle.contract, bundle.levels, columns))
    fitted = load((model / MODEL).read_text(encoding="utf-8"))
    mine = {name: values[chosen] for name, values in rows.columns.items()}
    raw = fitted.probability(encode(contract, load_levels(model), mine))
    after = raw, load_calibrator(model).apply(raw)
    note = (
        f"{left_out:,} test rows of the period that the champion learned from are left out"
        if left_out
        else ""
    )
    if known.doubt:
        note = known.doubt
    items, tables = compare(
        settings,
        outcome,
        candidate=after,
        champion=before,
        rules=(contract.decision, bundle.contract.decision),
        costs=Costs(contract.decision.cost_false_positive, contract.decision.cost_false_negative),
        favoured=bool(known.doubt),
        note=note,
    )
    tables["models"] = [
        {"model": name, "auc": area, "low": low, "high": high} | tables["points"][name]
        for name, (area, low, high) in (
            ("candidate", auc_interval(outcome, after[0])),
            ("champion", auc_interval(outcome, before[0])),
        )
    ]
    del tables["points"]
    return items, tables, int(chosen.size)


def _write(
    path: Path, about: dict[str, Any] | None, rows: int, items: list[Item], tables: dict[str, Any]
) -> None:
    empty: dict[str, Any] = {"models": [], "decisions": [], "swap_set": []}
    write_json(path, {"champion": about, "rows": rows, "items": msgspec.to_builtins(items)} | empty | tables)
