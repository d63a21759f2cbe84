"""Live routes read back: what Seldon's operator really made, and what it has not made yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving.rollout.kube.routing import read_back, ready_endpoints, splits
from serving.rollout.status import Routes

Object = dict[str, Any]
RECORDED = Path(__file__).parents[2] / "cluster" / "seldon" / "recorded"
A, B = "champion", "canary"
SERVICES = {A: "fraud-champion", B: "fraud-canary"}
READY = {"fraud-champion": 2, "fraud-canary": 1}


def service(*routes: dict[str, int], copies: dict[str, float] | None = None) -> Object:
    def one(weights: dict[str, int]) -> Object:
        route: Object = {
            "route": [{"destination": {"host": f"fraud-{n}.ns.svc"}, "weight": w} for n, w in weights.items()]
        }
        for name, share in (copies or {}).items():
            route |= {"mirror": {"host": f"fraud-{name}.ns.svc"}, "mirrorPercentage": {"value": share}}
        return route

    return {"spec": {"http": [one(weights) for weights in routes]}}


STEP = Routes(stable=A, canary=B, weight=10)
SHADOW = Routes(stable=A, canary=B, weight=10, shadow=True)
CASES: list[tuple[str, Object | None, Routes, str | None, str, str]] = [
    ("a step", service({A: 90, B: 10}, {A: 90, B: 10}), STEP, None, "verified", ""),
    (
        "one protocol is behind",
        service({A: 90, B: 10}, {A: 100}),
        STEP,
        None,
        "not_yet",
        "fraud-champion 100 %",
    ),
    ("no service", None, STEP, None, "not_yet", "no VirtualService"),
    ("no routes", {"spec": {}}, STEP, None, "not_yet", "no HTTP route"),
    ("standing by at nothing", service({A: 100, B: 0}), Routes(stable=A), None, "verified", ""),
    ("standing by unnamed", service({A: 100}), Routes(stable=A), None, "verified", ""),
    ("removed but still named", service({A: 100, B: 0}), Routes(stable=A), B, "not_yet", "still names"),
    (
        "removed, endpoints left",
        service({A: 100}),
        Routes(stable=A),
        B,
        "not_yet",
        "1 endpoints of fraud-canary",
    ),
    ("the former champion at nothing", service({A: 0, B: 100}), Routes(stable=B), None, "verified", ""),
    ("the former champion with traffic", service({A: 5, B: 95}), Routes(stable=B), None, "not_yet", "wanted"),
    ("a shadow", service({A: 100}, copies={B: 10}), SHADOW, None, "verified", ""),
    (
        "a shadow of another share",
        service({A: 100}, copies={B: 50}),
        SHADOW,
        None,
        "not_yet",
        "copies of 50 %",
    ),
    ("copies that should be traffic", service({A: 100}, copies={B: 10}), STEP, None, "not_yet", "wanted"),
    ("a stranger at nothing", service({A: 90, B: 10, "x": 0}), STEP, None, "verified", ""),
    ("a stranger with traffic", service({A: 80, B: 10, "x": 10}), STEP, None, "not_yet", "fraud-x 10 %"),
]


@pytest.mark.parametrize(
    ("what", "found", "routes", "removed", "state", "words"), CASES, ids=[case[0] for case in CASES]
)
def test_read_back(
    what: str, found: Object | None, routes: Routes, removed: str | None, state: str, words: str
) -> None:
    answer = read_back(found, READY, routes, SERVICES, removed)
    assert (answer.state, words in answer.detail) == (state, True), answer.detail


def test_a_route_to_nobody_is_not_in_place() -> None:
    answer = read_back(service({A: 90, B: 10}), {"fraud-champion": 1}, STEP, SERVICES)
    assert answer.detail == "service fraud-canary has no ready endpoint"
    assert read_back(service({A: 90, B: 10}), None, STEP, SERVICES).state == "verified"


def test_a_removed_predictor_without_route_and_endpoints_is_gone() -> None:
    found = read_back(service({A: 100}), {"fraud-champion": 1}, Routes(stable=A), SERVICES, B)
    assert found.state == "verified"


def test_endpoints_count_when_they_take_requests() -> None:
    def piece(name: str, *ready: bool | None) -> Object:
        endpoints = [
            {"addresses": ["10.0.0.1"], "conditions": {} if r is None else {"ready": r}} for r in ready
        ]
        return {"metadata": {"labels": {"kubernetes.io/service-name": name}}, "endpoints": endpoints}

    found = ready_endpoints([piece("a", True, False, None), piece("a", True), piece("b", False)])
    assert found == {"a": 3, "b": 0}


@pytest.mark.parametrize(
    ("state", "weights", "copies"),
    [
        ("1-champion-alone", {"fraud-champion": 100}, {}),
        ("2-canary-starting", {"fraud-champion": 100}, {}),
        ("3-canary-at-10", {"fraud-champion": 90, "fraud-canary": 10}, {}),
        ("4-canary-at-50", {"fraud-champion": 50, "fraud-canary": 50}, {}),
        ("5-canary-image-missing-at-0", {"fraud-champion": 100, "fraud-canary": 0}, {}),  # 0 is left out
        ("6-canary-removed", {"fraud-champion": 100}, {}),
        ("7-new-canary-never-ready", {"fraud-champion": 100}, {}),
        ("8-shadow", {"fraud-champion": 100}, {"fraud-shadow": 100.0}),
    ],
)
def test_what_the_real_operator_made_is_read(
    state: str, weights: dict[str, int], copies: dict[str, float]
) -> None:
    items = json.loads((RECORDED / f"{state}.json").read_text())["items"]
    (found,) = (item for item in items if item["kind"] == "VirtualService")
    for split in splits(found):
        assert (split.weights, split.copies) == (weights, copies)
