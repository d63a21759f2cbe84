"""Lines as the logs hold them."""

import json
from datetime import UTC, datetime
from typing import Any

START = 1_760_000_000.0
DAY = 86_400.0


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def decision(
    request_id: str,
    at: float = START,
    *,
    predictor: str = "champion",
    version: int = 1,
    probability: float = 0.2,
    decision: str = "approve",
    model: str = "loans",
) -> bytes:
    body = {
        "id": request_id,
        "source": "/models/loans",
        "time": stamp(at),
        "data": {
            "model": model,
            "version": version,
            "digest": "sha256:0",
            "predictor": predictor,
            "score": probability,
            "probability": probability,
            "decision": decision,
            "reasons": [],
            "features": [1.0, None],
        },
        "type": "io.serinus.decision.v1",
        "specversion": "1.0",
        "datacontenttype": "application/json",
    }
    return json.dumps({"seq": 1, "prev": "0", "hash": "1", "body": body}).encode() + b"\n"


def feedback(request_id: str, *truth: Any, at: float = START + DAY, **more: Any) -> bytes:
    value = {
        "request_id": request_id,
        "time": stamp(at),
        "predictor": "champion",
        "truth": [[t] for t in truth],
    }
    return json.dumps(value | more).encode() + b"\n"


def protected(request_id: str, **attributes: Any) -> bytes:
    return json.dumps({"request_id": request_id, "attributes": attributes}).encode() + b"\n"


def review(request_id: str, bad: bool, leaning: bool, at: float = START + 3600.0) -> bytes:
    value = {"request_id": request_id, "time": stamp(at), "leaning": int(leaning), "truth": [[int(bad)]]}
    return json.dumps(value | {"predictor": "review"}).encode() + b"\n"
