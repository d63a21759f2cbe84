"""Errors on stderr: seen, and no flood."""

from __future__ import annotations

import json
from typing import Any

from serinus.errors import SerinusError
from serving.scorer.reports import Reports


def error(code: str) -> SerinusError:
    return SerinusError(code, "it broke", hint="Mend it.")


def test_each_kind_is_told_ten_times_a_minute_and_what_was_left_out_is_counted() -> None:
    lines: list[dict[str, Any]] = []
    now = [0.0]
    report = Reports(lambda line: lines.append(json.loads(line)), lambda: now[0])
    for i in range(1000):
        now[0] = i * 0.05
        report(error("SRN-SCORE-001"))
    report(error("SRN-SCORER-005"))
    assert [line["code"] for line in lines] == ["SRN-SCORE-001"] * 10 + ["SRN-SCORER-005"]
    assert all("left_out" not in line for line in lines)
    now[0] = 60.0
    report(error("SRN-SCORE-001"))
    assert (lines[-1]["code"], lines[-1]["left_out"]) == ("SRN-SCORE-001", 990)
    now[0] = 121.0
    report(error("SRN-SCORE-001"))
    assert "left_out" not in lines[-1]
