"""Where a rollout's label guards read what became of decisions: of the model's own outcomes program, if it has one."""

import re
from typing import Any

import pytest

from serving.rollout.kube.ports import matchers, outcomes_page


def deployment(annotations: dict[str, str] | None) -> dict[str, Any]:
    return {"metadata": {"name": "fraud", "namespace": "models", "annotations": annotations}}


@pytest.mark.parametrize(
    ("found", "page"),
    [
        (
            deployment({"serinus.io/outcomes": "8091"}),
            {"outcomes": "http://fraud-outcomes.models:8091/metrics"},
        ),
        (deployment({"serinus.io/outcomes": "evil.example/?"}), {}),
        (deployment({}), {}),
        (deployment(None), {}),
        ({"metadata": {"name": "fraud", "namespace": "models"}}, {}),
        (None, {}),
    ],
)
def test_the_page_is_that_of_the_models_own_service(found: Any, page: dict[str, str]) -> None:
    assert outcomes_page(found) == page


def test_prometheus_is_asked_for_the_predictors_pods_and_for_the_outcomes_of_this_model_alone() -> None:
    text = matchers("models", "fraud", ["fraud-p-2", "fraud-p-1"])
    assert text == 'namespace="models",pod=~"(fraud-p-1|fraud-p-2|fraud-outcomes)-.+"'
    pattern = re.compile(text.partition('pod=~"')[2].rstrip('"'))
    assert pattern.fullmatch("fraud-outcomes-6d5f-x7")
    assert not pattern.fullmatch("card-fraud-outcomes-6d5f-x7")
