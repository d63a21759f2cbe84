"""The facets that serinus fills, each as the specification's JSON schema has it.

None is of our own making: a backend that knows the specification understands every one.
``tests/unit/lineage`` holds each against the official schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from serinus.lineage.types import PRODUCER, Job

_BASE = "https://openlineage.io/spec/facets"
SCHEMAS = {
    "parent": "1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet",
    "nominalTime": "1-0-1/NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet.json#/$defs/ProcessingEngineRunFacet",
    "executionParameters": "1-0-0/ExecutionParametersRunFacet.json#/$defs/ExecutionParametersRunFacet",
    "test": "1-0-1/TestRunFacet.json#/$defs/TestRunFacet",
    "tags": "1-0-0/TagsRunFacet.json#/$defs/TagsRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
    "documentation": "1-1-0/DocumentationJobFacet.json#/$defs/DocumentationJobFacet",
    "sourceCodeLocation": "1-1-0/SourceCodeLocationJobFacet.json#/$defs/SourceCodeLocationJobFacet",
    "schema": "1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet.json#/$defs/DatasourceDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
    "datasetType": "1-0-1/DatasetTypeDatasetFacet.json#/$defs/DatasetTypeDatasetFacet",
    "storage": "1-0-1/StorageDatasetFacet.json#/$defs/StorageDatasetFacet",
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet",
    "dataQualityMetrics": "1-0-3/DataQualityMetricsInputDatasetFacet.json#/$defs/DataQualityMetricsInputDatasetFacet",
    "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet.json#/$defs/DataQualityAssertionsDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet",
}
"""The schema of each facet by the key under which it stands in an event."""


def facet(key: str, **fields: Any) -> dict[str, Any]:
    """A facet with its producer and schema. Raises KeyError for a key that is not in ``SCHEMAS``."""
    return {"_producer": PRODUCER, "_schemaURL": f"{_BASE}/{SCHEMAS[key]}", **fields}


def parent(run_id: str, job: Job) -> dict[str, Any]:
    """The run that this one is a part of, which is also the root: pipelines are not nested here."""
    whole = {"run": {"runId": run_id}, "job": job.named()}
    return facet("parent", **whole, root=whole)


def error_message(message: str, stack: str = "") -> dict[str, Any]:
    """Why a run failed. The caller answers for the text: it must hold no value of the data."""
    more = {"stackTrace": stack} if stack else {}
    return facet("errorMessage", message=message, programmingLanguage="PYTHON", **more)


def tags(values: Mapping[str, str]) -> dict[str, Any]:
    """Short facts about a run by name; empty ones are left out."""
    found = [{"key": key, "value": value, "source": "SERINUS"} for key, value in values.items() if value]
    return facet("tags", tags=found)


def parameters(values: Mapping[str, str]) -> dict[str, Any]:
    """The settings with which a run was executed."""
    return facet("executionParameters", parameters=[{"key": k, "value": v} for k, v in values.items()])


def job_type(kind: str, *, integration: str) -> dict[str, Any]:
    """``PIPELINE`` or ``TASK``, in the words of what runs it."""
    return facet("jobType", processingType="BATCH", integration=integration, jobType=kind)


def schema(fields: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """Columns in order: name, type, description (may be empty)."""
    listed = [
        {"name": name, "type": kind, "ordinal_position": place}
        | ({"description": description} if description else {})
        for place, (name, kind, description) in enumerate(fields, start=1)
    ]
    return facet("schema", fields=listed)
