"""The first request's way, taken before anybody asks."""

from __future__ import annotations

import msgspec

from serinus.scoring import Scorer
from serving.scorer import v1, v2
from serving.scorer.identity import Identity
from serving.scorer.refusal import Refusal


def warm(scorer: Scorer, identity: Identity, times: int = 50) -> None:
    """Take golden rows through both protocols, neither recorded nor counted.

    What is slow once is slow here: caches, the interpreter's specialised code, the
    first explanation. A bundle without golden rows is served cold.
    """
    rows = scorer.bundle.golden_rows
    names = scorer.vectorizer.names
    for k in range(times if len(rows) else 0):
        values = scorer.vectorizer.decode(rows[k % len(rows)])
        tensors = [
            {"name": name, "shape": [1], "datatype": _datatype(value), "data": [value]}
            for name, value in values.items()
        ]
        for codec, document in (
            (v1, {"data": {"names": names, "ndarray": [list(values.values())]}}),
            (v1, {"data": {"ndarray": [list(values.values())]}}),
            (v2, {"inputs": tensors}),
        ):
            try:
                parsed = codec.decode(msgspec.json.encode(document), scorer.vectorizer)
            except Refusal:
                continue  # training takes rows that the contract refuses to a request
            for explain in ("always", "never"):
                codec.encode((scorer.one(parsed.rows[0], explain),), parsed, "warm", identity)


def _datatype(value: float | str | None) -> str:
    return "BYTES" if isinstance(value, str) else "FP64"
