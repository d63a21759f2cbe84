"""The ModelRollout resource: read from the wire, written to it, and told to the API server."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serving.rollout.kube.crd import spec_schema
from serving.rollout.kube.descriptions import DOCS
from serving.rollout.kube.resource import (
    ApprovalSpec,
    BundleRef,
    Candidate,
    CommandSpec,
    ModelRolloutSpec,
    camel,
    read_rollout,
    read_spec,
    to_wire,
)
from serving.rollout.kube.schema import structural
from serving.rollout.spec import Approval, Limits, Notification, Step

DIGEST = "sha256:" + "ab" * 32


def resource(**spec: Any) -> dict[str, Any]:
    filled = {"target": "fraud", "candidate": {"bundle": {"uri": "s3://b/4", "digest": DIGEST}}} | spec
    return {"metadata": {"name": "fraud-4"}, "spec": filled}


def test_generated_files_are_what_the_types_say() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving.rollout.kube.manifests", "--check"], capture_output=True, text=True
    )
    assert done.stdout == ""


steps = (
    st.lists(st.integers(1, 100), min_size=1, max_size=5, unique=True)
    .map(sorted)
    .map(
        lambda weights: tuple(
            Step(weight=w, min_requests=w, approval=Approval(roles=("risk",))) for w in weights
        )
    )
)
specs = st.builds(
    ModelRolloutSpec,
    target=st.just("fraud"),
    candidate=st.one_of(
        st.just(Candidate(bundle=BundleRef(uri="s3://b/4", digest=DIGEST), replicas=2)),
        st.just(Candidate(predictor={"name": "v2", "graph": {"modelUri": "x", "snake_case": 1}})),
    ),
    started_by=st.sampled_from(["", "ann"]),
    steps=steps,
    limits=st.just(Limits(max_duration="2h")),
    notifications=st.just((Notification(url="https://x", format="slack", phases=("Promoted",)),)),
    paused=st.booleans(),
)


@given(specs)
def test_a_spec_survives_the_wire(spec: ModelRolloutSpec) -> None:
    wire = msgspec.json.decode(msgspec.json.encode(to_wire(spec)))
    assert read_spec(wire, ModelRolloutSpec, "here") == spec


def test_free_form_predictors_keep_their_keys() -> None:
    given_predictor = {"name": "v2", "graph": {"modelUri": "s3://m"}, "componentSpecs": [{"hpaSpec": {}}]}
    assert (
        read_rollout(resource(candidate={"predictor": given_predictor})).candidate.predictor
        == given_predictor
    )


def test_a_bundle_names_its_predictor() -> None:
    assert read_rollout(resource()).candidate.name == "p-" + "ab" * 5


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"candidate": {}}, "neither a bundle nor a predictor"),
        ({"candidate": {"predictor": {"graph": {}}}}, "neither a bundle nor a predictor"),
        ({"targt": "x"}, "targt"),
        ({"steps": [{"weight": 5, "minRequest": 1}]}, "min_request"),
        ({"steps": [{"weight": 5}, {"weight": 5, "shadow": True}]}, "shadow step follows"),
        ({"rollbackWindow": "soon"}, "'soon' is not a duration"),
        ({"notifications": [{"url": "https://x", "channel": "risk"}]}, "either url or channel"),
    ],
)
def test_what_the_schema_would_refuse_is_refused_here_too(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(SerinusError, match=words) as caught:
        read_rollout(resource(**spec))
    assert caught.value.code == "SRN-ROLLOUT-001"
    assert "modelrollout/fraud-4" in caught.value.where


@pytest.mark.parametrize("kind", [ModelRolloutSpec, ApprovalSpec, CommandSpec])
def test_every_field_is_described(kind: type) -> None:
    structural(kind, DOCS)  # a missing description is a KeyError


def test_no_description_outlives_its_field() -> None:
    known = {(cls.__name__, name) for cls in _structs() for name in cls.__struct_fields__}
    assert set(DOCS) - known == set()


def _structs() -> set[type[msgspec.Struct]]:
    from serinus.evidence import Guard

    return {
        ModelRolloutSpec, Candidate, BundleRef, Step, Approval, Guard, Limits, Notification,
        ApprovalSpec, CommandSpec,
    }  # fmt: skip


def test_the_schema_is_structural() -> None:
    def walk(schema: dict[str, Any], path: str) -> None:
        assert "type" in schema, path
        for name, below in schema.get("properties", {}).items():
            assert name == camel(name), path
            walk(below, f"{path}.{name}")
        if "items" in schema:
            walk(schema["items"], f"{path}[]")

    walk(spec_schema(), "spec")
