"""The documentation's example is a contract, and its arithmetic is right."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import yaml

from serinus.contract import parse_contract
from serinus.features.plan import plan

PAGE = Path(__file__).parents[3] / "docs" / "contract.md"


def test_the_worked_example_is_a_sound_contract_with_the_windows_it_tells_of() -> None:
    example = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    contract = parse_contract(yaml.safe_load(example), where=str(PAGE))
    frames = {item.name: item.frame for item in plan(contract).windowed}
    noon = datetime(2026, 7, 1, 12)
    loans, defaults = frames["branch_loans_30d"], frames["branch_defaults"]
    assert noon - timedelta(microseconds=loans.reach) == datetime(2026, 6, 1, 12)
    assert noon - timedelta(microseconds=defaults.reach) == datetime(2025, 10, 4, 12)
    assert noon - timedelta(microseconds=defaults.delay) == datetime(2026, 4, 2, 12)
