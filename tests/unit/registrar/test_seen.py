"""What is read off a ModelRollout that the controller wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.registrar.seen import read
from serving.rollout.status import HISTORY, Phase

from .cluster import BEGAN, CANARY, NEW, OLD, PROMOTED, STARTING, rollout


def test_who_what_when_why_and_on_which_digest() -> None:
    seen = read(rollout(STARTING, CANARY, PROMOTED))
    assert (seen.namespace, seen.name, seen.target) == ("cards", "fraud-2", "fraud")
    assert (seen.digest, seen.champion, seen.uri) == (NEW, OLD, "s3://models/b")
    assert (seen.started_by, seen.built_by, seen.phase) == ("carl", "ann", "Promoted")
    told = [(turn.seq, turn.reason, turn.actor, turn.at) for turn in seen.turns]
    assert told == [
        (0, "Requested", "carl", BEGAN),
        (1, "Starting", "rollout engine", BEGAN + 1),
        (2, "StepStarted", "rollout engine", BEGAN + 2),
        (3, "Promoted", "rollout engine", BEGAN + 3),
    ]


def test_of_a_long_history_all_is_read_that_the_controller_keeps() -> None:
    turns = [(f"Turn{n}", Phase.PROGRESSING) for n in range(HISTORY + 10)]
    seqs = [turn.seq for turn in read(rollout(*turns)).turns]
    assert seqs == [0, *range(11, HISTORY + 11)]


@pytest.mark.parametrize("engine", ["", "not base64", "eJw=", None])
def test_where_the_engines_part_cannot_be_read_the_shown_history_is(engine: str | None) -> None:
    resource = rollout(*[CANARY] * 30)
    resource["status"]["engine"] = engine
    assert [turn.seq for turn in read(resource).turns] == [0, *range(11, 31)]


def test_a_predictors_digest_is_what_its_scorer_is_told_to_fetch() -> None:
    resource = rollout(CANARY)
    resource["spec"]["candidate"] = {"predictor": resource["status"]["target"]["predictor"]}
    assert read(resource).digest == OLD
    resource["spec"]["candidate"] = {"predictor": {"name": "x", "graph": {}}}
    assert read(resource).digest == ""


LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
KEYS = st.sampled_from(["componentSpecs", "spec", "containers", "initContainers", "env", "name", "value"])
ANYTHING = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=4))
def test_whatever_somebody_wrote_as_a_predictor_is_read(predictor: dict[str, object]) -> None:
    resource = rollout(CANARY)
    resource["spec"]["candidate"] = {"predictor": predictor}
    assert isinstance(read(resource).digest, str)


def test_one_that_could_not_begin_has_the_refusal_as_its_only_turn() -> None:
    resource = rollout()
    ended = {"type": "Ended", "status": "True", "lastTransitionTime": "2023-11-14T22:13:25Z"}
    resource["status"] = {
        "phase": "Failed",
        "reason": "InvalidSpec",
        "message": "SRN-ROLLOUT-001 no",
        "conditions": [ended],
    }
    turn = read(resource).turns[-1]
    assert (turn.seq, turn.reason, turn.message, turn.at) == (
        1,
        "InvalidSpec",
        "SRN-ROLLOUT-001 no",
        BEGAN + 5,
    )


def test_one_that_nobody_has_looked_at_yet_was_requested() -> None:
    assert [turn.reason for turn in read(rollout()).turns] == ["Requested"]
