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


def test_the_table_shows_what_failed_first_and_no_data_as_such() -> None:
    def demand(metric: str, value: float | None, verdict: str) -> dict[str, object]:
        return {"metric": metric, "value": value, "threshold": ">= 0.8", "verdict": verdict, "note": ""}

    console, out = shown()
    console.print(
        demands_table([demand("a", 0.9, "pass"), demand("b", None, "no_data"), demand("c", 0.123456, "fail")])
    )
    rows = [line.split() for line in out.getvalue().splitlines()[2:]]
    assert rows == [
        ["c", "0.1235", ">=", "0.8", "fail"],
        ["b", "no", "data", ">=", "0.8", "no", "data"],
        ["a", "0.9", ">=", "0.8", "pass"],
    ]
