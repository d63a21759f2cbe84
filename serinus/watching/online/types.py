"""What online tests are configured by, as the bundle keeps it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serinus.errors import SerinusError

Test = Literal["cvm", "fet"]


class OnlinePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What thresholds depend on beside the reference.

    Args:
        reference: values of the reference that a number's stream is compared with.
        windows: sizes of the sliding windows, ascending; the largest statistic over them counts.
        ert: expected run time: rows that a stream without drift goes on for, from its first full window, until it
            crosses its threshold. Per stream: with d of them the first false alarm comes after about ert / d rows.
        streams: simulated streams that thresholds are quantiles of; at least 10 times ``ert``.
        smoothing: weight of the newest value in the moving average of the binary test.
        seed: of the simulation.

    Raises:
        SerinusError: SRN-WATCHING-007 if the windows are not ascending, or ``streams`` cannot resolve 1 / ``ert``.
    """

    reference: Annotated[int, Meta(ge=20)] = 500
    windows: tuple[int, ...] = (25, 100)
    ert: Annotated[float, Meta(gt=1)] = 10_000.0
    streams: int = 100_000
    smoothing: Annotated[float, Meta(gt=0, le=1)] = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.windows or self.windows[0] < 2 or list(self.windows) != sorted(set(self.windows)):
            raise SerinusError(
                "SRN-WATCHING-007",
                f"windows of {', '.join(map(str, self.windows)) or 'nothing'}",
                hint="Give window sizes of at least 2 rows, the smallest first, each once.",
            )
        if self.streams < 10 * self.ert:
            raise SerinusError(
                "SRN-WATCHING-007",
                f"{self.streams} simulated streams for an expected run time of {self.ert:g} rows",
                hint="A threshold that one stream in `ert` crosses needs at least 10 times as many streams.",
            )

    @property
    def steps(self) -> int:
        """Rows after which thresholds no longer change: twice the largest window, less one."""
        return 2 * self.windows[-1] - 1


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One column that is watched row by row.

    Args:
        name: the feature's, ``serinus.watching.SCORE`` or ``DECISION``.
        test: ``cvm``: Cramer-von Mises, for numbers. ``fet``: Fisher's exact test, for values of 0 and 1.
        reference: ``cvm`` only: sorted values, ties already broken.
        spread: ``cvm`` only: a value is shifted at random by less than half of this; 0 for a column without ties.
        seed: of those shifts.
        hits, rows: ``fet`` only: ones in the reference, and its size.
        more, fewer: ``fet`` only: thresholds by row for the ones becoming more, and fewer; as ``Calibration.cvm``.
    """

    name: str
    test: Test
    reference: tuple[float, ...] = ()
    spread: float = 0.0
    seed: int = 0
    hits: int = 0
    rows: int = 0
    more: tuple[float, ...] = ()
    fewer: tuple[float, ...] = ()


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every online test of a model, ready to run: nothing is left to chance at a restart.

    Args:
        cvm: thresholds of the numbers' test, one for all of them as it does not depend on their law: the i-th counts
            from row ``windows[0] + i`` on, the last one for ever.
        streams: in the contract's order, then score and decision; a column without a test is absent.
        unwatched: column → why it has none.
    """

    version: Literal[1] = 1
    plan: OnlinePlan
    cvm: tuple[float, ...]
    streams: tuple[Stream, ...]
    unwatched: dict[str, str] = {}
