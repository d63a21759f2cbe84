"""A value that is unknown or wrong is refused, and the refusal says which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from .support import ROOT, model, platform, schema

PLATFORM = [
    ("controller.replica=3", "at '/controller': additional properties 'replica' not allowed"),
    ("controller.replicas=none", "at '/controller/replicas': got string, want integer"),
    ("controller.replicas=0", "at '/controller/replicas': minimum: got 0, want 1"),
    ("controller.digest=latest", "at '/controller/digest': 'latest' does not match pattern"),
    (
        "controller.prometheusUrl=prometheus:9090",
        "at '/controller/prometheusUrl': 'prometheus:9090' does not",
    ),
    ("controller.resources.limits.memory=12Mb", "at '/controller/resources/limits/memory': '12Mb' does not"),
    ("controller.resources.limit.memory=1Gi", "additional properties 'limit' not allowed"),
    ("watchNamespaces={Fraud}", "at '/watchNamespaces/0': 'Fraud' does not match pattern"),
    ("retrain.cooldown=1hour", "at '/retrain/cooldown': '1hour' does not match pattern"),
    ("retrain.kfp.host=", "at '/retrain/kfp/host': '' does not match pattern"),
    ("monitoring.operator=yes", "at '/monitoring/operator': value must be one of 'auto', 'always', 'never'"),
    ("image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of"),
    ("tolerations[0].key=x", "at '': additional properties 'tolerations' not allowed"),
    ("controller.tolerations[0].efect=NoSchedule", "additional properties 'efect' not allowed"),
    ("networkPolicy.prometheusPort=99999", "at '/networkPolicy/prometheusPort': maximum: got 99,999"),
]
MODEL = [
    ("bundle.digest=9f2c", "at '/bundle/digest': '9f2c' does not match pattern"),
    ("bundle.uri=https://models/fraud", "at '/bundle/uri': 'https://models/fraud' does not match pattern"),
    ("bundel.uri=s3://models/fraud", "at '': additional properties 'bundel' not allowed"),
    ("protocol=tensorflow", "at '/protocol': value must be one of 'seldon', 'v2'"),
    ("drift.detector=other", "at '/drift/detector': value must be one of 'alibi', 'numpy', 'none'"),
    ("drift.window=10", "at '/drift/window': minimum: got 10, want 100"),
    ("scorer.explain=maybe", "at '/scorer/explain': value must be one of"),
    ("decisions.durability=best", "at '/decisions/durability': value must be one of 'strict', 'relaxed'"),
    ("decisions.kafka=broker:9092", "at '/decisions/kafka': 'broker:9092' does not match pattern"),
    ("podDisruptionBudget.maxUnavailable=half", "at '/podDisruptionBudget/maxUnavailable'"),
    ("monitor.replicas=2", "at '/monitor': additional properties 'replicas' not allowed"),
    ("monitor.persistence.size=1G b", "at '/monitor/persistence/size': '1G b' does not match pattern"),
    ("outcomes.floors.accuracy=1", "at '/outcomes/floors': additional properties 'accuracy' not allowed"),
    ("outcomes.floors.precision=60", "at '/outcomes/floors/precision': maximum: got 60, want 1"),
    ("outcomes.floors.precision=1.5", "at '/outcomes/floors/precision': '1.5' does not match pattern"),
    ("outcomes.grace=soon", "at '/outcomes/grace': 'soon' does not match pattern"),
    ("keys.public.mine=x", "at '/keys/public': additional properties 'mine' not allowed"),
    ("autoscaling.targetCPUUtilization=170", "at '/autoscaling/targetCPUUtilization': maximum: got 170"),
]


@pytest.mark.parametrize(("given", "told"), PLATFORM, ids=lambda value: value.split("=")[0])
def test_the_platform_refuses(given: str, told: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        platform(given)
    assert told in str(refused.value)


@pytest.mark.parametrize(("given", "told"), MODEL, ids=lambda value: value.split("=")[0])
def test_a_model_refuses(given: str, told: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        model(given)
    assert told in str(refused.value)


def test_a_model_without_a_bundle_is_none() -> None:
    with pytest.raises(RuntimeError, match="at '/bundle/digest'"):
        model(values=ROOT / "charts/serinus-model/values.yaml")


def _keys(node: Any, path: str = "") -> Iterator[str]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _keys(value, f"{path}.{key}" if path else key)
    else:
        yield path


@pytest.mark.parametrize("name", schema.NAMES)
def test_every_value_has_a_default_and_a_description(name: str) -> None:
    chart = ROOT / "charts" / name
    defaults = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    described = yaml.safe_load((chart / "values.schema.yaml").read_text(encoding="utf-8"))
    known = {path: text for path, text, _ in schema.values(described, defaults)}
    assert all(len(text) > 5 for text in known.values())
    # A value may be a free table (labels), of which the defaults name a part.
    for key in _keys(defaults):
        assert (
            key in known
            or key.rsplit(".", 1)[0] in known
            or any(key.startswith(f"{path}.") for path in known)
        ), key
    for path in known:
        node = defaults
        for part in path.split("."):
            assert part in node, path
            node = node[part]
