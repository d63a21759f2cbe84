"""What a step read, wrote and found out: datasets and their facets.

Every artefact is named, hashed and placed without knowing the step. Beyond that, some steps are
known by name, and what is said of them is read off the files that they write: which columns there
are, what each feature is made of, what the checks and the gate found. No value of a record is
among it: counts, names and the contract's own words only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.lineage.artefacts import Artefact, Given, digest, size
from components.lineage.quality import assertions, metrics, tests
from serinus.contract import Contract, parse_contract
from serinus.lineage import columns, facets
from serinus.lineage.context import Context
from serinus.lineage.names import bundle_name, place_of
from serinus.lineage.types import Dataset, Facets


@dataclass(frozen=True)
class Step:
    """A step as it was called; ``where`` is the namespace of this installation's datasets."""

    name: str
    arguments: Mapping[str, object]
    told: Given
    model: str
    where: str
    context: Context

    def path(self, argument: str) -> Path | None:
        """An argument that is a file by now."""
        value = self.arguments.get(argument)
        return value if isinstance(value, Path) and value.exists() else None

    def json(self, argument: str) -> Any:
        """What a JSON file among the arguments holds, None where it was not written."""
        from components.step import read_json

        path = self.path(argument)
        return None if path is None else read_json(path)

    def contract(self) -> Contract | None:
        """The contract as the step has it."""
        for argument in ("contract_out", "contract"):
            if (found := self.json(argument)) is not None:
                return parse_contract(found, where="contract")
        return None


@dataclass
class Described:
    """Inputs and outputs by the step's own keys, and facets of the run."""

    inputs: dict[str, Dataset] = field(default_factory=dict[str, Dataset])
    outputs: dict[str, Dataset] = field(default_factory=dict[str, Dataset])
    run: Facets = field(default_factory=dict[str, dict[str, Any]])

    def add_input(self, key: str, **added: dict[str, Any]) -> None:
        """Say more of what this run saw of an input."""
        if (known := self.inputs.get(key)) is not None:
            self.inputs[key] = known.but(input_facets=known.input_facets | added)

    def add_output(self, key: str, *, made: Facets | None = None, **added: dict[str, Any]) -> None:
        """Say more of an output; ``made`` is about this run's writing of it."""
        if (known := self.outputs.get(key)) is not None:
            self.outputs[key] = known.but(
                facets=known.facets | added, output_facets=known.output_facets | (made or {})
            )


def names(step: Step) -> tuple[dict[str, Dataset], dict[str, Dataset]]:
    """Inputs and outputs by name alone, before anything was read."""
    inputs = {artefact.key: _named(step, artefact) for artefact in step.told.inputs}
    if (raw := _raw(step)) is not None:
        inputs = {"data": raw} | inputs
    return inputs, {artefact.key: _named(step, artefact) for artefact in step.told.outputs}


def describe(step: Step, summary: Mapping[str, Any]) -> Described:
    """Inputs and outputs with what is known of them once the step has ended, well or not."""
    inputs, outputs = names(step)
    found = Described(inputs, {})
    for artefact in step.told.inputs:
        found.inputs[artefact.key] = _with_content(inputs[artefact.key], artefact)
    for artefact in step.told.outputs:
        if artefact.path.exists():
            found.outputs[artefact.key] = _with_content(outputs[artefact.key], artefact)
            found.add_output(artefact.key, made={"outputStatistics": _statistics(artefact, summary)})
    if (more := KNOWN.get(step.name)) is not None:
        more(step, found)
    return found


def _named(step: Step, artefact: Artefact) -> Dataset:
    task, key = artefact.made_as
    return Dataset(step.where, f"{step.model}.{task}.{key}")


def _raw(step: Step) -> Dataset | None:
    """The records as the outside names them, where the step reads them from there."""
    data = step.told.parameters.get("data", step.arguments.get("data"))
    if not isinstance(data, str) or not data:
        return None
    return Dataset(*(step.context.data or place_of(data)))


def _with_content(dataset: Dataset, artefact: Artefact) -> Dataset:
    uri = artefact.uri if "://" in artefact.uri else Path(artefact.uri).absolute().as_uri()
    known: Facets = {
        "dataSource": facets.facet("dataSource", name=dataset.namespace, uri=uri),
        "datasetType": facets.facet("datasetType", datasetType="FILE"),
    }
    if content := digest(artefact.path):
        known["version"] = facets.facet("version", datasetVersion=content)
    return dataset.but(facets=dataset.facets | known)


def _statistics(artefact: Artefact, summary: Mapping[str, Any]) -> dict[str, Any]:
    rows: dict[str, int] = {}
    with contextlib.suppress(ValueError):
        if artefact.key in ("records", "table"):
            rows = {"rowCount": int(str(summary["rows"]).replace(",", ""))} if "rows" in summary else {}
    return facets.facet("outputStatistics", size=size(artefact.path), **rows)


def _ingest(step: Step, found: Described) -> None:
    contract, report = step.contract(), step.json("report")
    if (raw := found.inputs.get("data")) is not None:
        uri = raw.name if "://" in raw.name else _uri(raw)
        known = {"dataSource": facets.facet("dataSource", name=raw.namespace, uri=uri)}
        known["datasetType"] = facets.facet("datasetType", datasetType="FILE")
        if report:
            known["version"] = facets.facet("version", datasetVersion=report["digest"])
        if contract:
            known["schema"] = _columns(contract)
        found.inputs["data"] = raw.but(facets=known)
    if contract and raw is not None:
        same = {
            name: (columns.Source(name, "DIRECT", "IDENTITY", "read as its type"),)
            for name in contract.columns
        }
        found.add_output(
            "records",
            schema=_columns(contract),
            storage=facets.facet("storage", storageLayer="file", fileFormat="parquet"),
            columnLineage=columns.column_lineage(same, namespace=raw.namespace, name=raw.name),
        )


def _uri(raw: Dataset) -> str:
    return Path(raw.name).as_uri() if raw.namespace == "file" else f"{raw.namespace}/{raw.name}"


def _validate(step: Step, found: Described) -> None:
    contract, report = step.contract(), step.json("report")
    if contract and report:
        found.add_input(
            "records", dataQualityMetrics=metrics(report), dataQualityAssertions=assertions(contract, report)
        )


def _features(step: Step, found: Described) -> None:
    contract, records = step.contract(), found.inputs.get("records")
    if contract is None or records is None:
        return
    fields = columns.meta_sources(contract) | columns.made_of(contract)
    about = {feature.name: feature.description or feature.reason for feature in contract.features}
    kinds = {
        feature.name: "VARCHAR" if contract.is_categorical(feature) else "DOUBLE"
        for feature in contract.features
    }
    found.add_output(
        "table",
        schema=facets.schema((name, kinds.get(name, "VARCHAR"), about.get(name, "")) for name in fields),
        storage=facets.facet("storage", storageLayer="file", fileFormat="parquet"),
        columnLineage=columns.column_lineage(
            fields, namespace=records.namespace, name=records.name, whole=columns.whole_table(contract)
        ),
    )


def _train(step: Step, found: Described) -> None:
    from components.config import Training, parse_config

    contract, table = step.contract(), found.inputs.get("table")
    if contract is None or table is None:
        return
    left_out = set(parse_config(str(step.arguments.get("config", "{}")), Training, where="training").exclude)
    inputs = tuple(
        columns.Source(name, "DIRECT", "TRANSFORMATION", "input of the model")
        for name in contract.feature_names
        if name not in left_out
    )
    fitted = columns.Source("label", "INDIRECT", "CONDITIONAL", "outcome that the model is fitted to")
    found.add_output(
        "model",
        datasetType=facets.facet("datasetType", datasetType="MODEL"),
        schema=facets.schema([SCORE]),
        columnLineage=columns.column_lineage(
            {SCORE[0]: (*inputs, fitted)}, namespace=table.namespace, name=table.name
        ),
    )


SCORE = ("score", "DOUBLE", "Calibrated probability of the bad outcome")


def _champion(step: Step, found: Described) -> None:
    """The champion's bundle is no artefact of the run, but its answers went into this report."""
    report = step.json("report")
    if report and (about := report.get("champion")):
        version = facets.facet("version", datasetVersion=about["digest"])
        kind = facets.facet("datasetType", datasetType="MODEL", subType="BUNDLE")
        found.inputs["champion"] = Dataset(
            step.where, bundle_name(about["name"]), {"version": version, "datasetType": kind}
        )


def _gate(step: Step, found: Described) -> None:
    if report := step.json("judgement") or step.json("validation"):
        found.run["test"] = tests(report["demands"])


def _register(step: Step, found: Described) -> None:
    entered, model = step.json("version"), found.inputs.get("model")
    if not entered:
        return
    uri = entered.get("uri") or Path(entered["bundle"]).absolute().as_uri()
    known: Facets = {
        "version": facets.facet("version", datasetVersion=entered["digest"]),
        "datasetType": facets.facet("datasetType", datasetType="MODEL", subType="BUNDLE"),
        "dataSource": facets.facet("dataSource", name=step.where, uri=uri),
        "schema": facets.schema([SCORE]),
    }
    if model is not None:
        same = {SCORE[0]: (columns.Source(SCORE[0], "DIRECT", "IDENTITY", "the same model, signed"),)}
        known["columnLineage"] = columns.column_lineage(same, namespace=model.namespace, name=model.name)
    found.outputs["bundle"] = Dataset(step.where, bundle_name(entered["name"]), known)
    found.run["tags"] = facets.tags({"model": entered["name"], "version": str(entered["version"])})


KNOWN: Mapping[str, Callable[[Step, Described], None]] = {
    "ingest": _ingest,
    "validate": _validate,
    "features": _features,
    "train": _train,
    "champion": _champion,
    "gate": _gate,
    "register": _register,
}
"""Steps of which more is said than their files; one that is not here is told of all the same."""


def _columns(contract: Contract) -> dict[str, Any]:
    return facets.schema(
        (name, column.type, column.description + (f" ({column.unit})" if column.unit else ""))
        for name, column in contract.columns.items()
    )
