"""What rows are counted by: the contract that reads them, the bins that they fall into, and whose they are.

Counts of two predictors can be compared only if they lie in the same bins. The monitor that judges therefore hands its
own measure out (``GET /measure``), and whoever forwards to it counts by that, whatever bundle its own pod serves: a
canary's rows lie in the champion's bins, as if the monitor had read them itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from serinus.contract import Contract, dump_contract, parse_contract
from serinus.errors import SerinusError
from serinus.model import Levels
from serinus.watching import Baseline
from serving.drift.rows import RowReader


class MeasureError(ValueError):
    """What came is no measure; the message says why."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A measure on its way.

    Args:
        digest: of the bundle whose reference the bins are made of.
        threshold: probability at which scores are split.
    """

    version: Literal[1] = 1
    digest: str
    threshold: float
    contract: dict[str, Any]
    levels: Levels
    baseline: Baseline


@dataclass(frozen=True)
class Measure:
    """A measure in use; ``reader`` encodes rows by ``contract`` and ``levels``."""

    digest: str
    threshold: float
    reader: RowReader
    baseline: Baseline

    def encode(self) -> bytes:
        """As JSON, some 10 kB for 30 features."""
        return msgspec.json.encode(
            Message(
                digest=self.digest,
                threshold=self.threshold,
                contract=dump_contract(self.reader.contract),
                levels=self.reader.levels,
                baseline=self.baseline,
            )
        )

    def same(self, other: Measure) -> bool:
        """Whether counts by the one are counts by the other."""
        return (self.digest, self.threshold, self.baseline.digest) == (
            other.digest,
            other.threshold,
            other.baseline.digest,
        )


def read_measure(body: bytes) -> Measure:
    """A measure from its JSON. Raises ``MeasureError`` if it is none, or contradicts itself."""
    try:
        found = msgspec.json.decode(body, type=Message)
        contract = parse_contract(found.contract, where="the measure")
    except (msgspec.MsgspecError, UnicodeDecodeError, SerinusError) as error:
        raise MeasureError(str(error)) from error
    if not _fit(contract, found):
        raise MeasureError("its bins are not those of its contract's features")
    return Measure(found.digest, found.threshold, RowReader(contract, found.levels), found.baseline)


def _fit(contract: Contract, found: Message) -> bool:
    baseline, names = found.baseline, tuple(contract.feature_names)
    categories = {f.name for f in contract.features if contract.is_categorical(f)}
    return (
        baseline.scored
        and baseline.names[:-1] == names
        and categories == set(found.levels)
        and all(
            column.kind == "category" and column.cells == len(found.levels[column.name])
            for column in baseline.columns
            # A category of which the reference holds no level has no cells of its own.
            if found.levels.get(column.name)
        )
        and all(list(column.edges) == sorted(column.edges) for column in baseline.columns)
    )
