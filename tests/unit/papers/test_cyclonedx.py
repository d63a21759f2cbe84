"""The card as CycloneDX: valid under the official schema, with digests, intervals and groups."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from serinus.errors import SerinusError
from serinus.papers.evidence import Evidence
from serinus.papers.make import make
from tests.unit.papers.conftest import Made


def wrong(bom: dict[str, Any] | bytes) -> object:
    text = bom.decode() if isinstance(bom, bytes) else json.dumps(bom)
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


@pytest.fixture(scope="module")
def bom(made: Made) -> dict[str, Any]:
    return json.loads(make(made.outside, "card", "cyclonedx"))


def test_it_is_valid_with_and_without_the_registrys_word(made: Made, undated: Evidence) -> None:
    for evidence in (made.inside, made.outside, undated):
        assert wrong(make(evidence, "card", "cyclonedx")) is None


@pytest.mark.parametrize("key", ["modelCard", "type"])
def test_the_schema_would_notice(bom: dict[str, Any], key: str) -> None:
    component = bom["metadata"]["component"] | {key: "nonsense"}
    assert wrong(bom | {"metadata": bom["metadata"] | {"component": component}}) is not None


def test_model_and_data_are_named_by_their_digests(made: Made, bom: dict[str, Any]) -> None:
    model = bom["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": made.outside.digest.removeprefix("sha256:")}]
    (data,) = [item for item in bom["components"] if item["type"] == "data"]
    assert "sha256:" + data["hashes"][0]["content"] == made.outside.provenance["data"]["digest"]
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": data["bom-ref"]}]
    named = {item["name"] for item in model["components"]}
    assert {"model.txt", "contract.json", "report.html"} <= named


def test_metrics_have_intervals_and_slices_and_every_judged_group_is_one(
    made: Made, bom: dict[str, Any]
) -> None:
    card = bom["metadata"]["component"]["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    (auc,) = [m for m in metrics if m["type"] == "auc" and m["slice"] == "test rows"]
    assert float(auc["confidenceInterval"]["lowerBound"]) < float(auc["value"])
    assert any("2026-" in m["slice"] for m in metrics), "periods"
    (stressed,) = [m for m in metrics if m["slice"] == "scenario: debts double"]
    interval = stressed["confidenceInterval"]
    assert float(interval["lowerBound"]) < float(stressed["value"]) < float(interval["upperBound"])
    assert "auc_low" not in {m["type"] for m in metrics}
    judged = [f for f in made.outside.fairness["findings"] if f["value"] is not None]
    assert sum(m["type"] == "adverse_impact_ratio" for m in metrics) == len(judged) > 0
    assessed = card["considerations"]["fairnessAssessments"]
    assert len(assessed) == len(made.outside.fairness["findings"])
    assert any("insufficient" in item["harms"] for item in assessed), "the small group"
    assert card["considerations"]["technicalLimitations"] == made.outside.card["limits"]


def test_the_same_version_gives_the_same_bytes(made: Made) -> None:
    assert make(made.outside, "card", "cyclonedx") == make(made.outside, "card", "cyclonedx")


@pytest.mark.parametrize("kind", ["validation", "fairness"])
def test_only_the_card_has_this_form(made: Made, kind: Any) -> None:
    with pytest.raises(SerinusError, match="SRN-PAPER-004"):
        make(made.outside, kind, "cyclonedx")
