"""What has to be true before any load: this very server, equal scores, honest reasons, a refusal of nonsense."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from serinus.bundle import Keyring, open_bundle
from serinus.scoring import Scorer

from .data import NAMES, Floats
from .grpc_wire import call
from .models import SAMPLE, Files
from .process import ask
from .systems import Place, System, messages
from .wire import decisions

TOLERANCE = 1e-6


class Wrong(AssertionError):  # noqa: N818  it is the message that matters
    """The server must not be measured; the message says why."""


def check(system: System, place: Place) -> dict[str, Any]:
    """Ask for some rows and compare. Returns what goes into the raw file.

    Raises:
        Wrong: for an answer without this start's nonce, a score off by more than 1e-6, or, with reasons,
            contributions that don't agree with the library's or don't sum to the margin.
    """
    explained = np.load(place.files.contributions(system.model)) if system.reasons == "every" else np.empty(0)
    expected = np.load(place.files.scores(system.model))[:SAMPLE]
    worst, reasons, answer = 0.0, 0.0, b""
    for i, message in enumerate(messages(system, place.files, SAMPLE)):
        status, headers, answer = asked(system, place.port, message)
        if status != 200:
            raise Wrong(f"row {i}: status {status}: {answer[:200]!r}")
        if place.nonce not in headers and place.nonce.encode() not in answer:
            raise Wrong("another server answers on this port: the nonce is missing")
        if system.key == "null":
            continue
        worst = max(worst, abs(system.wire.scores(answer)[0] - float(expected[i])))
        if system.reasons == "every":
            reasons = max(reasons, _reasons(system, answer, explained[i], float(expected[i])))
    if worst > TOLERANCE:
        raise Wrong(f"a score differs by {worst:g}")
    if reasons > 2 * TOLERANCE:  # ours are rounded to 1e-6
        raise Wrong(f"a contribution differs by {reasons:g}")
    status = 0
    if system.key != "null":
        status = asked(system, place.port, system.wire.wrap(system.wire.malformed))[0]
    if system.ours and not 400 <= status < 500:
        raise Wrong(f"nonsense was answered with {status}")
    return {"score_error": worst, "reason_error": reasons, "malformed": status, "answer_bytes": len(answer)}


def asked(system: System, port: int, message: bytes) -> tuple[int, str, bytes]:
    """As ``process.ask``; a gRPC status other than OK counts as 400, its digest stands in the answer."""
    if system.kind == "http":
        return ask(port, message)
    answer = call(port, message)
    return (400, "", b"") if answer is None else (200, "", answer)


def _reasons(system: System, answer: bytes, explained: Floats, score: float) -> float:
    body: Any = json.loads(answer)
    if not system.ours:
        values = body.get("contributions")
        if values is None:
            values = next(o["data"] for o in body["outputs"] if o["name"] == "contributions")
        return abs(float(np.sum(values)) - (score if system.model == "sklearn" else _log_odds(score)))
    adverse = sorted(((v, n) for v, n in zip(explained[:-1], NAMES, strict=True) if v > 0), reverse=True)[:4]
    given = (decisions(body) or [{}])[0].get("reasons", ())
    if [r["feature"] for r in given] != [n for _, n in adverse]:
        return float("inf")
    return max((abs(r["contribution"] - v) for r, (v, _) in zip(given, adverse, strict=True)), default=0.0)


def additivity(files: Files, model: str) -> float:
    """The largest gap, over the sample, between our contributions' sum and the margin of the bare library's score."""
    x = np.load(files.rows)[:SAMPLE]
    total = _scorer(files, model).contributions(x).sum(axis=1)
    scores = np.load(files.scores(model))[:SAMPLE]
    margin = scores if model == "sklearn" else np.array([_log_odds(s) for s in scores])
    return float(np.abs(total - margin).max())


def _scorer(files: Files, model: str) -> Scorer:
    path = files.bundle(model)
    assert path is not None
    return Scorer(open_bundle(path, trusted=Keyring.load(files.home.keys)))


def _log_odds(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))
