"""What the evidence is gathered under, what survives a restart, and what is said."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from serinus.durations import parse_duration
from serinus.errors import SerinusError

from .effects import Effect

Status = Literal["stable", "drift", "no_data"]
Quality = Literal["good", "bad", "no_data"]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that thresholds depend on beside the baseline.

    Args:
        budget: mean time between false alarms of a model, at least.
        look: evidence is taken in looks this far apart or farther, closed by the clock and not by traffic; so the
            budget holds whatever the traffic.
        tolerance: distance from the reference (Pearson's chi-square, for small shifts equal to PSI) that is no
            drift: what the time of day, estimation and business as usual may do to a column's bins.
        tolerances: columns with another tolerance.
        dependence: rows after which the past says nothing more about a row than the tolerance allows. 1: rows are
            independent. 10: evidence is worth a tenth.
        most_rows: a look never weighs more than this many independent rows: at high traffic dependence lasts for
            a time and not for a number of rows.
        min_rows: values below which a column's look waits for the next one.
        reference_error: probability that the reference's own sampling error spoils the guarantee.
        min_psi: effect below which a shift is no drift.
        min_excess: rise in the share of missing, unknown, out-of-range or refused values that is bad data.
        excess_tolerance: such a rise that is no evidence.
        min_effect_rows: values below which no effect is reported.

    Raises:
        SerinusError: SRN-WATCHING-004 if the budget is shorter than a look, or a duration or number is none.
    """

    budget: str = "90d"
    look: str = "5m"
    tolerance: float = 0.005
    tolerances: dict[str, float] = {}
    dependence: float = 1.0
    most_rows: float = 1000.0
    min_rows: int = 50
    reference_error: Share = 0.05
    min_psi: float = 0.1
    min_excess: float = 0.005
    excess_tolerance: float = 0.0005
    min_effect_rows: int = 200

    def __post_init__(self) -> None:
        try:
            budget, look = parse_duration(self.budget), parse_duration(self.look)
        except ValueError as error:
            raise SerinusError(
                "SRN-WATCHING-004", str(error), where="budget, look", hint="Write durations: 90d, 5m."
            ) from error
        if not 0 < look <= budget:
            raise SerinusError(
                "SRN-WATCHING-004",
                f"a budget of {self.budget} with looks of {self.look}",
                hint="The budget is at least as long as a look, and a look longer than 0.",
            )
        least = min([self.tolerance, *self.tolerances.values(), self.excess_tolerance, self.min_excess])
        if least < 0 or self.dependence < 1 or self.most_rows < 1 or self.min_rows < 1:
            raise SerinusError(
                "SRN-WATCHING-004",
                "a tolerance is negative, or dependence, most_rows or min_rows is below 1",
                hint="See docs/drift.md for what each number means.",
            )

    @property
    def run_length(self) -> float:
        """The average number of looks between false alarms that is guaranteed: A."""
        return parse_duration(self.budget) / parse_duration(self.look)


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that must survive a restart: a few hundred bytes per column, whatever has passed by.

    Args:
        version: of this layout.
        plan: digest of plan and baseline.
        looks: looks taken in.
        stratum: of the last look.
        logs: log of each bet's e-detector, float32, (columns, bets).
        recent: what the looks left over from the reference's shares, exponentially forgotten, float32,
            (memories, columns, cells); ``weights``: their (sum, sum of squares) of rows, float32.
        waiting: counts of looks too thin to be judged, int64, (columns, cells).
        last: counts of the last judged look, int64, (columns, cells).
        shares: log of each share's e-detector, float32, (streams, bets).
        seen: (hits, rows) of each share in the last looks, float32, (streams, 2), forgotten like the shortest memory.
    """

    version: Literal[1] = 1
    plan: str
    looks: int = 0
    stratum: int = 0
    logs: bytes = b""
    recent: bytes = b""
    weights: bytes = b""
    waiting: bytes = b""
    last: bytes = b""
    shares: bytes = b""
    seen: bytes = b""


class ColumnReport(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    ``drift`` needs ``log10_e`` at ``threshold_log10`` and a material effect. ``no_data`` says that nothing can be
    said, and ``reason`` why. ``effect`` is of the shortest recent span that can tell the band from chance.
    """

    name: str
    status: Status
    reason: str
    log10_e: float
    threshold_log10: float
    evidence: bool
    material: bool
    effect: Effect | None


class ShareReport(msgspec.Struct, frozen=True, kw_only=True):
    """One share of bad values: ``missing``, ``unknown``, ``outside`` of a column, or ``refused`` rows."""

    column: str
    kind: Literal["missing", "unknown", "outside", "refused"]
    quality: Quality
    reason: str
    log10_e: float
    threshold_log10: float
    share: float | None
    reference_share: float
    n: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the evidence says at this look.

    Args:
        log10_e: the columns' mean evidence; ``threshold_log10`` is what it is held against. A false alarm of the
            whole model comes on average once in the plan's budget at most.
        columns: in the baseline's order, the score last.
        shares: data quality, apart from drift.
    """

    looks: int
    status: Status
    quality: Quality
    log10_e: float
    threshold_log10: float
    columns: tuple[ColumnReport, ...]
    shares: tuple[ShareReport, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that drifted."""
        return tuple(column.name for column in self.columns if column.status == "drift")

    @property
    def bad(self) -> tuple[ShareReport, ...]:
        """The shares that are bad data."""
        return tuple(share for share in self.shares if share.quality == "bad")
