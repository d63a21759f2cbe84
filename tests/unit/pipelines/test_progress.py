"""What a person sees."""

from __future__ import annotations

import io

from rich.console import Console

from pipelines.progress import Progress, demands_table


def shown(width: int = 200) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, soft_wrap=True), out


def test_a_step_is_one_line_with_its_seconds_or_cached_and_its_numbers() -> None:
    console, out = shown()
    progress = Progress(console)
    progress.started("train")
    progress.finished("train", 3.21, False, {"trees": 67, "calibrated_on": "x"})
    progress.finished("split", 0.01, True, {})
    progress.failed("gate", 0.4)
    lines = out.getvalue().splitlines()
    assert "train" in lines[0]
    assert "3.2 s" in lines[0]
    assert "trees 67  calibrated on x" in lines[0]
    assert "split" in lines[1]
    assert "cached" in lines[1]
    assert " s " not in lines[1]
    assert lines[2].split() == ["✗", "gate", "0.4", "s"]


def demand(metric: str, value: float | None, verdict: str, note: str = "") -> dict[str, object]:
    return {"metric": metric, "value": value, "threshold": ">= 0.8", "verdict": verdict, "note": note}


def table(width: int, *demands: dict[str, object]) -> list[str]:
    console, out = shown(width)
    console.print(demands_table(list(demands), width))
    return out.getvalue().splitlines()[2:]


def test_the_table_shows_what_failed_first_and_no_data_as_such() -> None:
    demands = [
        demand("a", 0.9, "pass"),
        demand("b", None, "no_data"),
        demand("c", 0.123456, "fail"),
        demand("d", 12_345.6, "fail"),
    ]
    assert [line.split() for line in table(200, *demands)] == [
        ["c", "0.1235", ">=", "0.8", "fail"],
        ["d", "12,346", ">=", "0.8", "fail"],
        ["b", "no", "data", ">=", "0.8", "no", "data"],
        ["a", "0.9", ">=", "0.8", "pass"],
    ]


def test_in_a_narrow_window_a_demand_is_one_line_and_the_notes_of_what_did_not_pass_stand_below() -> None:
    name = "adverse_impact_ratio group=a"
    demands = [
        demand("auc", 0.9, "pass", "95 %: 0.85 to 0.95; n = 400"),
        demand(name, 0.79, "fail", "95 %: 0.70 to 0.88; may be chance"),
    ]
    wide = [line.split() for line in table(120, *demands)]
    assert [line[-4:] for line in wide] == [["0.88;", "may", "be", "chance"], ["%:", "0.85", "to", "0.95"]]
    narrow = table(72, *demands)
    assert [line.split() for line in narrow] == [
        [*name.split(), "0.79", ">=", "0.8", "fail"],
        ["auc", "0.9", ">=", "0.8", "pass"],
        [*f"{name}: 95 %: 0.70 to 0.88; may be chance".split()],
    ]
