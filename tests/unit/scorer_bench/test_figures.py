"""From blocks to the targets' verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.scorer.figures import best, figures, targets

QUANTILES = {"p50": 0.1, "p99": 1.0, "p999": 2.0, "lag_p99": 0.01}


def block(key: str, rate: float, cpu: float, round_: int = 0, rps: float = 50.0) -> dict[str, Any]:
    stretch = {**QUANTILES, "cpu_us": cpu, "void": False, "foreign": 0.0, "steal": 0.0, "answered": 5000}
    return {
        "key": key, "round": round_, "max_rate": rate, "limited_by_generator": False,
        "closed_8": {"rps": rps, "cpu_us": cpu},
        "half_rate": rate / 2, "half": {"poisson": stretch, "constant": stretch}, "cpu_rate": 1000,
        "cpu": {"1000": {"cpu_us": cpu}}, "rss": 60.0, "pss": 50.0, "ready_s": 1.0,
    }  # fmt: skip


def results(*blocks: dict[str, Any], batches: dict[str, list[float]] | None = None) -> dict[str, Any]:
    def row(key: str) -> dict[str, Any]:
        product = "serinus" if key.startswith("ours") else key
        every = key.endswith(("shap", "always"))
        model = "sklearn" if "forest" in key else "lightgbm"
        return {"key": key, "product": product, "setting": "", "model": model, "protocol": "V1 JSON",
                "reasons": "every" if every else "none", "headline": True}  # fmt: skip

    keys = dict.fromkeys(b["key"] for b in blocks)
    return {
        "rows": [row(k) for k in keys],
        "blocks": list(blocks),
        "batches": {"rows_per_s": batches or {}},
    }


def verdicts(found: dict[str, Any]) -> dict[str, bool | None]:
    return {t.name.split(":")[0].strip(". "): t.met for t in targets(found, figures(found))}


def test_nothing_measured_is_neither_reached_nor_missed() -> None:
    assert set(verdicts(results(block("null", 20000, 10.0))).values()) == {None}


def test_the_best_peer_is_the_yardstick_and_reasons_are_compared_apart() -> None:
    found = results(
        block("null", 20000, 10.0),
        block("ours-never", 9500, 40.0),
        block("ours-always", 3000, 150.0),
        block("mlserver", 800, 900.0),
        block("litserve", 1000, 900.0),
        block("litserve-shap", 300, 3000.0),
    )
    rows = figures(found)
    fastest = best(rows, model="lightgbm", reasons=False)
    assert fastest is not None
    assert fastest.key == "litserve"
    made = verdicts(found)
    assert made["Score and decision (log relaxed)"] is False  # 9.5x
    assert made["Exact reasons on every request (log relaxed)"] is True  # 10x
    assert made["Reasons (log relaxed)"] is True  # 3x
    assert made["CPU per request, score and decision"] is True  # 4x


def test_a_peer_that_never_holds_the_limit_is_compared_by_its_unlimited_throughput() -> None:
    found = results(block("ours-never", 900, 40.0), block("mlserver", 0, 900.0, rps=100.0))
    assert verdicts(found)["Score and decision (log relaxed)"] is False  # 9x of what it does without a limit


def test_figures_are_medians_over_the_rounds_with_their_range() -> None:
    rates = (8000, 9000, 12000)
    row = figures(results(*(block("ours-never", rate, 40.0, k) for k, rate in enumerate(rates))))[0]
    assert (row.rate, row.low, row.high, row.rounds) == (9000, 8000, 12000, 3)


def test_batches_are_judged_by_their_slowest_protocol() -> None:
    rates = {
        "bare/1000": [100.0],
        "ours-never-off/V1 JSON/1000": [120.0],
        "ours-never-off/V2 JSON/1000": [79.0],
    }
    assert verdicts(results(batches=rates))["Batches of 1,000 rows"] is False
    rates["ours-never-off/V2 JSON/1000"] = [81.0]
    assert verdicts(results(batches=rates))["Batches of 1,000 rows"] is True


def test_the_log_may_cost_15_percent() -> None:
    for relaxed, met in ((8500, True), (8400, False)):
        found = results(block("ours-never", relaxed, 40.0), block("ours-never-off", 10000, 40.0))
        assert verdicts(found)["Decision log relaxed"] is met


@pytest.mark.parametrize(
    ("null", "certified"),
    [
        (20000.0, True),
        (9000.0, False),  # below ours: no server is faster than one that does nothing
        (0.0, False),
    ],
)
def test_rates_decide_nothing_where_the_machine_keeps_the_null_server_from_the_limit(
    null: float, certified: bool
) -> None:
    found = results(
        block("null", null, 10.0),
        block("ours-never", 9500, 40.0),
        block("ours-never-off", 9600, 36.0),
        block("ours-always", 9400, 50.0),
        block("mlserver", 800, 900.0),
    )
    made = verdicts(found)
    assert made["Score and decision (log relaxed)"] is (True if certified else None)
    assert made["Decision log relaxed"] is (True if certified else None)
    assert made["Score and decision (log relaxed), by CPU"] is True  # 900 of 40 us
    assert made["Decision log relaxed, by CPU"] is True  # 36 of 40


def test_the_cpu_target_is_met_at_a_fixed_rate_and_by_a_busy_server() -> None:
    busy = block("ours-never", 900, 40.0)
    busy["closed_8"]["cpu_us"] = 51.0
    for row, met in ((block("ours-never", 900, 40.0), True), (busy, False)):
        found = results(block("null", 20000, 10.0), row)
        assert verdicts(found)["CPU per request, score and decision"] is met


def test_a_search_that_the_generator_ended_is_no_miss() -> None:
    mine = {**block("ours-never", 900, 40.0), "limited_by_generator": True}
    off = block("ours-never-off", 2000, 36.0)
    made = verdicts(results(block("null", 20000, 10.0), mine, off, block("mlserver", 800, 900.0)))
    assert made["Score and decision (log relaxed)"] is None
    assert made["Decision log relaxed"] is None
    mine["max_rate"] = 9000
    made = verdicts(results(block("null", 20000, 10.0), mine, block("mlserver", 800, 900.0)))
    assert made["Score and decision (log relaxed)"] is True  # at least this much is certain


def test_a_null_server_that_the_generator_ended_says_nothing_against_a_faster_row() -> None:
    null = {**block("null", 5000, 10.0), "limited_by_generator": True}
    made = verdicts(results(null, block("ours-never", 9000, 40.0), block("mlserver", 800, 900.0)))
    assert made["Score and decision (log relaxed)"] is True
