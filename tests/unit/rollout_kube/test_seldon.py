"""The predictors of a SeldonDeployment: how a candidate enters, how traffic is split, what is never written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serving.rollout.kube.names import service_of
from serving.rollout.kube.resource import BundleRef, Candidate
from serving.rollout.kube.seldon import (
    candidate_predictor,
    champion_of,
    check_traffic,
    edited,
    routed,
    without,
)
from serving.rollout.status import Routes

DIGEST = "sha256:" + "ab" * 32
A, B = "p-old", "p-new"


def predictor(name: str, traffic: int | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "graph": {"name": "scorer"}}
    return made | ({"traffic": traffic} if traffic is not None else {}) | more


def deployment(*predictors: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "fraud"}, "spec": {"predictors": list(predictors)}}


def traffic(predictors: list[dict[str, Any]]) -> dict[str, Any]:
    return {p["name"]: ("shadow", p["traffic"]) if p.get("shadow") else p.get("traffic") for p in predictors}


CASES: list[tuple[str, list[dict[str, Any]], Routes, bool, dict[str, Any]]] = [
    (
        "a step",
        [predictor(A, 100), predictor(B, 0)],
        Routes(stable=A, canary=B, weight=25),
        False,
        {A: 75, B: 25},
    ),
    (
        "a shadow step",
        [predictor(A, 100), predictor(B, 0)],
        Routes(stable=A, canary=B, weight=40, shadow=True),
        False,
        {A: 100, B: ("shadow", 40)},
    ),
    (
        "from shadow to live traffic",
        [predictor(A, 100), predictor(B, 40, shadow=True)],
        Routes(stable=A, canary=B, weight=5),
        False,
        {A: 95, B: 5},
    ),
    ("standing by", [predictor(A, 100), predictor(B, 0)], Routes(stable=A), False, {A: 100, B: 0}),
    (
        "standing by as the shadow it begins as",
        [predictor(A, 100), predictor(B, 40, shadow=True)],
        Routes(stable=A),
        False,
        {A: 100, B: ("shadow", 40)},
    ),
    ("a rollback removes", [predictor(A, 75), predictor(B, 25)], Routes(stable=A), True, {A: 100}),
    ("a promotion", [predictor(A, 50), predictor(B, 50)], Routes(stable=B), False, {A: 0, B: 100}),
    (
        "a champion taken out",
        [predictor(B, 25)],
        Routes(stable=A, canary=B, weight=25),
        False,
        {A: 75, B: 25},
    ),
    ("a champion taken out, back", [predictor(B, 25)], Routes(stable=A), True, {A: 100}),
    (
        "a stranger",
        [predictor(A, 50), predictor(B, 25), predictor("x", 25)],
        Routes(stable=A),
        True,
        {A: 100, "x": 0},
    ),
    (
        "someone's shadow is left alone",
        [predictor(A, 75), predictor(B, 25), predictor("x", 10, shadow=True)],
        Routes(stable=A),
        True,
        {A: 100, "x": ("shadow", 10)},
    ),
]


@pytest.mark.parametrize(
    ("what", "found", "routes", "going", "wanted"), CASES, ids=[case[0] for case in CASES]
)
def test_predictors_for_routes(
    what: str, found: list[dict[str, Any]], routes: Routes, going: bool, wanted: dict[str, Any]
) -> None:
    made = routed(found, routes, champion=predictor(A, 100), candidate=B, removing=going)
    assert traffic(made) == wanted
    assert edited(made, routes, champion=A, candidate=B, removing=going) is None
    again = routed(made, routes, champion=predictor(A, 100), candidate=B, removing=going)
    assert again == made


@pytest.mark.parametrize("unready", ["x", A])
def test_what_is_not_ready_and_would_hold_the_routes_up_goes(unready: str) -> None:
    found = [predictor(A, 50), predictor(B, 50), predictor("x", 0)]
    made = routed(
        found,
        Routes(stable=B),
        champion=predictor(A, 100),
        candidate=B,
        removing=False,
        unready=frozenset({unready}),
    )
    assert unready not in traffic(made)
    assert traffic(made)[B] == 100


names = st.sampled_from([A, B, "x", "y"])
found_predictors = st.lists(
    st.builds(
        lambda name, weight, shadow: predictor(name, weight, **({"shadow": True} if shadow else {})),
        names,
        st.integers(0, 100),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda p: p["name"],
)
routes_asked = st.one_of(
    st.just(Routes(stable=A)),
    st.builds(
        lambda w, s: Routes(stable=A, canary=B, weight=w, shadow=s), st.integers(1, 100), st.booleans()
    ),
)


@given(found_predictors, routes_asked, st.booleans(), st.sets(names))
def test_whatever_others_wrote_live_traffic_sums_to_100_or_nothing_is_written(
    found: list[dict[str, Any]], routes: Routes, going: bool, unready: set[str]
) -> None:
    going = going and routes.canary is None
    try:
        made = routed(
            found,
            routes,
            champion=predictor(A, 100),
            candidate=B,
            removing=going,
            unready=frozenset(unready),
        )
    except SerinusError:
        return  # check_traffic's, tested below
    live = [p for p in made if not p.get("shadow")]
    assert sum(p["traffic"] for p in live) == 100
    assert not (going and B in traffic(made))


def test_an_edit_by_another_hand_is_named() -> None:
    step = Routes(stable=A, canary=B, weight=10)

    def told(*found: dict[str, Any]) -> str | None:
        return edited(list(found), step, champion=A, candidate=B, removing=False)

    assert told(predictor(A, 90), predictor(B, 10)) is None
    assert told(predictor(A, 20), predictor(B, 80)) == f"predictor {A} has traffic 20, not 90"
    assert told(predictor(A, 90), predictor(B, 10), predictor("x", 5)) == "predictor x has traffic 5, not 0"
    assert told(predictor(B, 10)) == f"predictor {A} is gone"
    assert told(predictor(A, 90), predictor(B, 10, shadow=True)) == f"predictor {B} is a shadow"


def test_a_single_predictor_without_traffic_has_all() -> None:
    assert edited([predictor(A)], Routes(stable=A), champion=A, candidate=B, removing=False) is None


def test_without_one_the_last_gets_everything() -> None:
    assert traffic(without([predictor(A, 0), predictor(B, 100)], A)) == {B: 100}
    assert traffic(without([predictor(A, 60), predictor(B, 40)], B)) == {A: 100}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([predictor(A, 50), predictor(B, 40)], "sums to 90, not 100"),
        ([], "traffic of nobody sums to 0"),
        ([predictor(A, 100), predictor("x", 1, shadow=True), predictor("y", 1, shadow=True)], "one shadow"),
        ([predictor(A, 100), predictor(A, 0)], "names repeat"),
    ],
)
def test_what_seldon_would_take_from_us_without_its_webhook_is_refused(
    found: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(SerinusError, match=words):
        check_traffic(found)


def test_a_bundle_is_served_by_a_copy_of_the_champions_predictor() -> None:
    container = {"name": "bundle", "env": [{"name": "SERINUS_BUNDLE_URI", "value": "s3://1"}]}
    spec = {
        "initContainers": [container],
        "containers": [{"name": "scorer", "env": [{"name": "SERINUS_BUNDLE_DIGEST", "valueFrom": {}}]}],
    }
    champion = predictor(
        A,
        100,
        replicas=3,
        annotations={"seldon.io/svc-name": "mine", "version": A},
        componentSpecs=[{"metadata": {"name": "fraud-old"}, "spec": spec}],
    )
    candidate = Candidate(bundle=BundleRef(uri="s3://2", digest=DIGEST))
    made = candidate_predictor("fraud", champion, candidate)
    name = "p-ababababab"
    assert (made["name"], made["traffic"], made["replicas"]) == (name, 0, 3)
    assert (made["labels"], made["annotations"]) == ({"version": name}, {"version": name})
    component = made["componentSpecs"][0]
    assert component["metadata"]["name"] == f"fraud-{name}"
    assert component["spec"]["initContainers"][0]["env"] == [
        {"name": "SERINUS_BUNDLE_URI", "value": "s3://2"}
    ]
    assert component["spec"]["containers"][0]["env"] == [{"name": "SERINUS_BUNDLE_DIGEST", "value": DIGEST}]
    assert champion["name"] == A  # the champion is not touched
    assert champion["componentSpecs"][0]["spec"]["initContainers"][0]["env"][0]["value"] == "s3://1"


def test_a_whole_predictor_enters_as_given_but_for_its_traffic() -> None:
    given = {"name": B, "graph": {"name": "scorer"}, "traffic": 80, "shadow": True}
    made = candidate_predictor("fraud", predictor(A, 100, replicas=2), Candidate(predictor=given, replicas=5))
    assert made == {"name": B, "graph": {"name": "scorer"}, "traffic": 0, "replicas": 5}


def test_the_champion_is_the_one_that_answers() -> None:
    assert champion_of(deployment(predictor(A), predictor("x", 10, shadow=True)), B)["name"] == A
    for wrong in (deployment(), deployment(predictor(A, 50), predictor("x", 50)), deployment(predictor(B))):
        with pytest.raises(SerinusError, match="SRN-ROLLOUT-003"):
            champion_of(wrong, B)


def test_services_are_named_as_seldon_names_them() -> None:
    assert service_of("fraud", predictor("champion")) == "fraud-champion"
    assert service_of("fraud", predictor("x", annotations={"seldon.io/svc-name": "mine"})) == "mine"
    long = service_of("f" * 40, predictor("c" * 40))
    assert long.startswith("seldon-")
    assert len(long) == len("seldon-") + 32
