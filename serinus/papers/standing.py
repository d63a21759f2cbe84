"""What registry, reviews and bundle say of a version today: the part of a paper that is younger than a run."""

from __future__ import annotations

import msgspec
import numpy as np

from serinus.bundle import Bundle
from serinus.home import Home
from serinus.papers.evidence import Reports, Standing
from serinus.papers.libraries import locked_libraries
from serinus.papers.service import service_of
from serinus.registry import Registry, Version
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import load_policy
from serinus.scoring import Scorer

OUTSIDE = ("judgement", "champion", "latency")
"""Reports of a run that depend on the machine or the installation, and so are kept beside it, not in the bundle."""


def standing_of(home: Home, registry: Registry, version: Version, bundle: Bundle) -> Standing:
    """Everything that is known of a version beyond its bundle. Nothing is changed.

    Raises:
        SerinusError: ``SRN-REVIEW-001`` the review policy cannot be read; as ``Registry``.
    """
    book = ReviewBook(registry, load_policy(home))
    due = next((d for d in book.due([version.model]) if d.version == version.version), None)
    return Standing(
        stage=version.stage,
        built_by=version.built_by,
        run=version.run,
        created=version.created,
        key=version.key,
        approvals=tuple(
            (a.by, a.role, a.time, a.reason) for a in registry.approvals(version.model, version.version)
        ),
        history=tuple(
            (t.time, t.stage, t.by, t.reason) for t in registry.history(version.model, version.version)
        ),
        reviews=tuple(
            (r.time, r.outcome, r.by, r.reason) for r in book.reviews(version.model, version.version)
        ),
        open=tuple(f"{t.kind}: {t.reason} (until {t.due[:10]})" for t in due.triggers) if due else (),
        review_due=f"{due.due[:10]}{', overdue' if due.overdue else ''}: {due.why}" if due else "",
        parity=parity(bundle),
        outside=_outside(home, version.run),
        service=service_of(
            home.root / "outcomes" / f"{version.model}.sqlite",
            version.version,
            bundle.contract.decision.decline_at,
        ),
        libraries=locked_libraries(bundle.provenance.get("code", {}).get("lock")),
    )


def parity(bundle: Bundle) -> tuple[int, float, str]:
    """Golden rows, the largest difference of their scores here from what the training library gave, and what scored."""
    scorer = Scorer(bundle, warn=lambda _: None)
    _, here = scorer.probabilities(bundle.golden_rows)
    apart = float(np.max(np.abs(here - bundle.golden_scores), initial=0.0))
    return int(bundle.golden_rows.shape[0]), apart, scorer.backend


def _outside(home: Home, run: str) -> dict[str, Reports]:
    found: dict[str, Reports] = {}
    for name in OUTSIDE:
        path = home.runs / run / f"{name}.json"
        try:
            found[name] = msgspec.json.decode(path.read_bytes(), type=dict)
        except (OSError, msgspec.DecodeError):
            continue  # of an older run, or one whose files were deleted: the paper says "not measured"
    return found
