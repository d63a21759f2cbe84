"""Which cells are run: a named subset of 15 minutes on two cores, and the whole product."""

from __future__ import annotations

from itertools import product

from .traces import NUISANCES, Cell

RATES = (2.0, 20.0, 200.0)


def subset() -> list[Cell]:
    """Every dimension varied around 10 % share and 0.5 % base, and the cells that the targets name."""
    cells = [Cell(r, effect=e) for r, e in product(RATES, (1.0, 2.0, 4.0, 20.0))]
    cells += [Cell(2.0, 0.25, effect=e) for e in (1.0, 2.0, 4.0, 20.0)]
    cells += [Cell(r, nuisance=n) for r, n in product(RATES, NUISANCES[1:])]
    cells += [Cell(r, "ramp", nuisance="daily", minutes=240.0) for r in RATES]
    cells += [Cell(r, effect=e, onset=30.0) for r, e in product(RATES, (2.0, 4.0, 20.0))]
    cells += [
        Cell(r, s, effect=e) for r, s, e in product(RATES, (0.05, 0.1, 0.5), (1.25, 1.5, 2.0, 4.0, 20.0))
    ]
    cells += [Cell(r, s, b) for r, s, b in product(RATES, (0.05, 0.1, 0.5), (0.001, 0.005, 0.02))]
    cells += [Cell(20.0, effect=4.0, nuisance=n) for n in NUISANCES[1:]]
    cells += [Cell(r, base=b, effect=e) for r, b, e in product(RATES, (0.001, 0.02), (2.0, 4.0, 20.0))]
    cells += [Cell(r, minutes=240.0) for r in RATES]
    return list(dict.fromkeys(cells))


def full() -> list[Cell]:
    """The whole product of the dimensions; onset only where there is an effect. Hours on two cores."""
    cells = subset()
    for rate, share, base, effect, onset, nuisance in product(
        (0.2, *RATES),
        (0.05, 0.1, 0.5, "ramp"),
        (0.001, 0.005, 0.02),
        (1.0, 1.25, 1.5, 2.0, 4.0, 20.0),
        (0.0, 30.0),
        NUISANCES,
    ):
        if effect > 1 or onset == 0:
            cells.append(Cell(rate, share, base, effect, onset, nuisance))
    return list(dict.fromkeys(cells))
