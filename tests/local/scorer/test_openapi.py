"""Schemathesis against a running scorer: whatever the document allows or forbids is answered as it says."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.local.scorer.process import ROOT, ScorerProcess
from tests.support.bundles import small_bundle, small_home

pytestmark = pytest.mark.local
DOCUMENT = json.loads((ROOT / "docs" / "scorer-openapi.json").read_text())
# Half the generated paths should name the model that is served.
for path in DOCUMENT["paths"].values():
    for operation in path.values():
        for parameter in operation.get("parameters", []):
            if parameter["name"] in ("model", "version"):
                served = {"model": "small", "version": "1"}[parameter["name"]]
                parameter["schema"] = {"type": "string", "enum": [served, "other"]}
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    place: Path = tmp_path_factory.mktemp("openapi")
    with ScorerProcess(small_bundle(place).path, small_home(place).root) as scorer:
        yield f"http://127.0.0.1:{scorer.port}"
        scorer.terminate()
        assert scorer.wait() == (0, "")


@schema.parametrize()
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_every_operation_keeps_to_its_document(case: schemathesis.Case, url: str) -> None:
    case.call_and_validate(
        base_url=url,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
            negative_data_rejection,
            unsupported_method,
        ],
    )
