"""What a promotion leaves behind is what the chart would render of the promoted bundle.

A rollout copies the champion's predictor, with name, Deployment, version and bundle replaced
(docs/kubernetes.md). So a chart whose values are brought up to date changes nothing.
"""

from __future__ import annotations

from copy import deepcopy

import pytest

from .support import Obj, model, one

NEXT = "sha256:" + "0123456789abcdef" * 4
URI = "s3://models/bundles/fraud-4"


def candidate(champion: Obj, deployment: str) -> Obj:
    """The copy that enters as the candidate, and that is alone once it is promoted."""
    made = deepcopy(champion)
    name = f"p-{NEXT.removeprefix('sha256:')[:10]}"
    made["name"] = made["labels"]["version"] = made["annotations"]["version"] = name
    component = made["componentSpecs"][0]
    component["metadata"]["name"] = f"{deployment}-{name}"
    for container in [*component["spec"]["initContainers"], *component["spec"]["containers"]]:
        for variable in container.get("env", []):
            if variable["name"] == "SERINUS_BUNDLE_URI":
                variable["value"] = URI
            if variable["name"] == "SERINUS_BUNDLE_DIGEST":
                variable["value"] = NEXT
    return made


@pytest.mark.parametrize(
    "sets", [(), ("drift.enabled=false", "executor=true"), ("autoscaling.enabled=true",)]
)
def test_a_promoted_copy_is_what_the_chart_renders_of_its_bundle(sets: tuple[str, ...]) -> None:
    before = one(model(*sets), "SeldonDeployment")["spec"]["predictors"]
    after = one(model(*sets, f"bundle.uri={URI}", f"bundle.digest={NEXT}"), "SeldonDeployment")
    assert after["spec"]["predictors"] == [candidate(before[0], "fraud")]
    assert after["spec"]["predictors"] != before
