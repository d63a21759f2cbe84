"""What a promotion leaves behind is what the chart would render of the promoted bundle.

So a chart whose values are brought up to date after a rollout changes nothing. The
candidate is made by the controller's own code.
"""

from __future__ import annotations

from copy import deepcopy

import pytest

from serving.rollout.kube.resource import BundleRef, Candidate
from serving.rollout.kube.seldon import candidate_predictor, champion_of, without

from .support import model, one

NEXT = BundleRef(uri="s3://models/bundles/fraud-4", digest="sha256:" + "0123456789abcdef" * 4)


@pytest.mark.parametrize(
    "sets",
    [
        (),
        ("drift.enabled=false", "executor=true"),
        ("autoscaling.enabled=true", "podLabels.team=fraud"),
        ("monitor.enabled=true", "outcomes.enabled=true"),
    ],
)
def test_a_promoted_copy_is_what_the_chart_renders_of_its_bundle(sets: tuple[str, ...]) -> None:
    before = one(model(*sets), "SeldonDeployment")
    after = one(model(*sets, f"bundle.uri={NEXT.uri}", f"bundle.digest={NEXT.digest}"), "SeldonDeployment")

    entering = Candidate(bundle=NEXT)
    champion = champion_of(before, entering.name)
    candidate = candidate_predictor("fraud", deepcopy(champion), entering)
    promoted = without([champion | {"traffic": 0}, candidate | {"traffic": 100}], champion["name"])

    assert after["spec"]["predictors"] == promoted
    assert after["spec"]["predictors"] != before["spec"]["predictors"]
