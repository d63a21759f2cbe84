"""What a step tells of itself: real steps, through the one hook that all of them share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.features.features import features
from components.ingest.task import ingest_records
from components.lineage.artefacts import Artefact, digest
from components.lineage.recorder import METADATA, message_of
from components.step import StepError, run_step, write_json
from components.validate.validate import validate
from serinus.contract import dump_contract
from serinus.errors import SerinusError
from serinus.lineage import journal
from serinus.lineage.context import CONTEXT, SWITCH, Code, Context
from serinus.lineage.types import Dataset, RunEvent
from tests.support.openlineage_schema import problems
from tests.unit.components.support import contract, loans, write_csv

PARENT = "01a221f6-8519-7e4d-a501-4d5c4f074086"


class Bench:
    """Runs steps as KFP does: an executor input on the command line, a context in the environment."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self._monkeypatch = directory, monkeypatch
        self.file = directory / "lineage" / "run.ndjson"
        self.contract = contract()
        self.context(
            Context(run=PARENT, model="loans", file=str(self.file), code=Code("git", "file:///x", "abc"))
        )

    def context(self, context: Context) -> None:
        for name, value in context.to_environment().items():
            self._monkeypatch.setenv(name, value)

    def path(self, task: str, key: str) -> Path:
        path = self.directory / "artefacts" / task / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def run(
        self,
        step: str,
        function: Callable[..., Any],
        *,
        inputs: Mapping[str, tuple[str, str]],
        outputs: tuple[str, ...],
        parameters: Mapping[str, Any] | None = None,
        **arguments: object,
    ) -> dict[str, str]:
        def listed(paths: Mapping[str, Path]) -> dict[str, Any]:
            return {"artifacts": {key: {"artifacts": [{"uri": str(path)}]} for key, path in paths.items()}}

        told = {
            "inputs": listed({key: self.path(*made) for key, made in inputs.items()})
            | {"parameterValues": dict(parameters or {})},
            "outputs": listed({key: self.path(step, key) for key in outputs}),
        }
        self._monkeypatch.setattr(sys, "argv", ["executor", "--executor_input", json.dumps(told)])
        return run_step(step, function, **arguments)

    def ingest(self, data: Path) -> dict[str, str]:
        text = json.dumps(dump_contract(self.contract))
        return self.run(
            "ingest", ingest_records, inputs={}, outputs=("records", "contract_out", "report"),
            parameters={"data": str(data), "contract": text, "code": '{"digest":"sha256:1"}'},
            data=str(data), contract=text, records=self.path("ingest", "records"),
            contract_out=self.path("ingest", "contract_out"), report=self.path("ingest", "report"),
        )  # fmt: skip

    def validate(self) -> dict[str, str]:
        return self.run(
            "validate", validate, outputs=("report",),
            inputs={"contract": ("ingest", "contract_out"), "records": ("ingest", "records")},
            contract=self.path("ingest", "contract_out"), records=self.path("ingest", "records"),
            report=self.path("validate", "report"),
        )  # fmt: skip

    def features(self) -> dict[str, str]:
        return self.run(
            "features", features, outputs=("table",),
            inputs={"contract": ("ingest", "contract_out"), "records": ("ingest", "records")},
            contract=self.path("ingest", "contract_out"), records=self.path("ingest", "records"),
            table=self.path("features", "table"),
        )  # fmt: skip

    @property
    def events(self) -> list[RunEvent]:
        return journal.read(self.file)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def named(datasets: tuple[Dataset, ...], name: str) -> Dataset:
    return next(each for each in datasets if each.name == name)


def test_a_step_tells_its_start_and_its_end_by_the_official_schema(bench: Bench, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "loans.csv", loans())
    metadata = bench.ingest(data)
    bench.validate()
    bench.features()
    assert [problem for event in bench.events for problem in problems(event)] == []
    start, end = bench.events[:2]
    assert (start.event_type, end.event_type) == ("START", "COMPLETE")
    assert start.run.run_id == end.run.run_id == json.loads(metadata[METADATA])["run"]
    assert end.job.name == "loans.training.ingest"
    assert {event.parent for event in bench.events} == {PARENT}
    assert start.job.facets["sourceCodeLocation"]["version"] == "abc"
    assert "code" in {each["key"] for each in start.run.facets["executionParameters"]["parameters"]}


def test_what_one_step_writes_another_reads_by_name_and_digest(bench: Bench, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "loans.csv", loans())
    bench.ingest(data)
    bench.validate()
    bench.features()
    ingested, validated, made = (event for event in bench.events if event.event_type == "COMPLETE")
    raw = ingested.inputs[0]
    assert (raw.namespace, raw.name, raw.version) == ("file", str(data), digest(data))
    records = named(ingested.outputs, "loans.ingest.records")
    assert records.key == named(validated.inputs, "loans.ingest.records").key
    assert records.key == named(made.inputs, "loans.ingest.records").key
    assert records.version == digest(bench.path("ingest", "records"))
    assert records.output_facets["outputStatistics"]["rowCount"] == 1500


def test_the_features_say_which_columns_they_are_made_of(bench: Bench, tmp_path: Path) -> None:
    bench.ingest(write_csv(tmp_path / "loans.csv", loans()))
    bench.features()
    table = named(bench.events[-1].outputs, "loans.features.table")
    lineage = table.facets["columnLineage"]["fields"]
    assert [each["field"] for each in lineage["debt"]["inputFields"]] == ["debt"]
    assert [each["field"] for each in lineage["label"]["inputFields"]] == ["bad"]
    assert {each["name"] for field in lineage.values() for each in field["inputFields"]} == {
        "loans.ingest.records"
    }
    assert [field["name"] for field in table.facets["schema"]["fields"]] == list(lineage)


def test_checks_of_the_records_are_told_with_counts_and_no_value(bench: Bench, tmp_path: Path) -> None:
    columns = loans()
    bench.ingest(write_csv(tmp_path / "loans.csv", columns))
    bench.validate()
    seen = named(bench.events[-1].inputs, "loans.ingest.records").input_facets
    metrics = seen["dataQualityMetrics"]
    assert metrics["rowCount"] == 1500
    assert metrics["columnMetrics"]["debt"]["nullCount"] == int((columns["debt"] != columns["debt"]).sum())
    assert {key for each in metrics["columnMetrics"].values() for key in each} == {
        "nullCount",
        "distinctCount",
    }
    said = {
        (each["assertion"], each["column"]): each["success"]
        for each in seen["dataQualityAssertions"]["assertions"]
    }
    assert said[("not_null", "income")]
    assert said[("in_range", "income")]
    assert ("not_null", "debt") not in said


def test_records_that_fail_the_checks_are_told_as_failed(bench: Bench, tmp_path: Path) -> None:
    bench.ingest(write_csv(tmp_path / "loans.csv", loans(60)))
    with pytest.raises(SystemExit):
        bench.validate()
    end = bench.events[-1]
    assert (end.event_type, end.run.facets["errorMessage"]["message"]) == ("FAIL", "SRN-PIPELINE-030")
    assert end.inputs[1].input_facets["dataQualityMetrics"]["rowCount"] == 60
    assert problems(end) == []


SECRET = "4929-1234-SECRET"


@pytest.mark.parametrize("where", ["income", "purpose", "group", "bad"])
def test_no_value_of_the_data_is_ever_told(bench: Bench, tmp_path: Path, where: str) -> None:
    columns = {name: values.astype(object) for name, values in loans().items()}
    columns[where][7] = SECRET
    data = write_csv(tmp_path / "loans.csv", columns)
    try:
        bench.ingest(data)
        bench.validate()
        bench.features()
    except SystemExit:
        assert where == "income", "the words of its error quote the value"
    said = bench.file.read_text()
    assert SECRET not in said
    assert '"FAIL"' in said if where == "income" else '"FAIL"' not in said


def test_the_gate_tells_each_demand_with_its_figure(bench: Bench) -> None:
    demands = [
        {"metric": "auc", "value": 0.6, "threshold": ">= 0.7", "verdict": "fail", "blocks": True,
         "group": "performance", "what": "Rank correlation", "low": 0.55, "high": 0.65, "n": 300},
        {"metric": "brier", "value": None, "threshold": "<= 0.1", "verdict": "no_data", "blocks": False},
        {"metric": "psi", "value": 0.0123456789, "threshold": "reported", "verdict": "pass", "blocks": False},
    ]  # fmt: skip

    def function(validation: Path, judgement: Path) -> dict[str, Any]:
        write_json(validation, {"verdict": "fail", "demands": demands[:1]})
        write_json(judgement, {"verdict": "fail", "demands": demands})
        raise StepError("SRN-GATE-001", "the model does not reach auc 0.6 (>= 0.7)", hint="Train better.")

    outputs = {name: bench.path("gate", name) for name in ("validation", "judgement")}
    with pytest.raises(SystemExit):
        bench.run(
            "gate", function, inputs={}, outputs=tuple(outputs),
            validation=outputs["validation"], judgement=outputs["judgement"],
        )  # fmt: skip
    end = bench.events[-1]
    assert (end.event_type, end.run.facets["errorMessage"]["message"]) == (
        "FAIL", "SRN-GATE-001: the model does not reach auc 0.6 (>= 0.7)",
    )  # fmt: skip
    told = {each["name"]: each for each in end.run.facets["test"]["tests"]}
    assert {name: (each["status"], each["severity"], each.get("actual")) for name, each in told.items()} == {
        "auc": ("fail", "error", "0.6"), "brier": ("skip", "warn", None), "psi": ("pass", "warn", "0.0123457"),
    }  # fmt: skip
    assert told["auc"]["params"] == {"low": 0.55, "high": 0.65, "n": 300}
    assert problems(end) == []


@pytest.mark.parametrize("about", [{"name": "loans", "version": 2, "digest": "sha256:ab"}, None])
def test_the_champion_is_an_input_of_the_step_that_compares_with_it(
    bench: Bench, about: dict[str, Any] | None
) -> None:
    def function(report: Path) -> dict[str, Any]:
        write_json(report, {"champion": about})
        return {}

    report = bench.path("champion", "report")
    bench.run("champion", function, inputs={}, outputs=("report",), report=report)
    end = bench.events[-1]
    assert [(each.name, each.version) for each in end.inputs] == (
        [("loans.bundle", "sha256:ab")] if about else []
    )
    assert problems(end) == []


def test_an_unknown_step_is_told_of_by_its_files(bench: Bench) -> None:
    def function(source: Path, result: Path) -> dict[str, Any]:
        result.write_text(source.read_text().upper())
        return {}

    bench.path("other", "thing").write_text("a")
    bench.run(
        "brand_new", function, inputs={"source": ("other", "thing")}, outputs=("result",),
        source=bench.path("other", "thing"), result=bench.path("brand_new", "result"),
    )  # fmt: skip
    end = bench.events[-1]
    assert [(each.name, each.version) for each in (*end.inputs, *end.outputs)] == [
        ("loans.other.thing", digest(bench.path("other", "thing"))),
        ("loans.brand_new.result", digest(bench.path("brand_new", "result"))),
    ]
    assert problems(end) == []


def nothing() -> dict[str, Any]:
    return {"rows": 1}


def test_switched_off_nothing_is_told_and_nothing_carried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "off")
    assert METADATA not in bench.run("x", nothing, inputs={}, outputs=())
    assert not bench.file.exists()


def test_a_step_that_nobody_follows_tells_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONTEXT)
    assert METADATA not in bench.run("x", nothing, inputs={}, outputs=())


def test_lineage_that_cannot_be_written_fails_no_step(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.file.parent.mkdir()
    bench.file.mkdir()
    assert bench.run("x", nothing, inputs={}, outputs=())
    assert "the lineage of x is not complete" in capsys.readouterr().err


def fault(value: str) -> None:
    raise ValueError(f"could not convert {value}")


def test_a_fault_of_ours_tells_its_type_and_place_and_not_its_words() -> None:
    with pytest.raises(ValueError, match=SECRET) as raised:
        fault(SECRET)
    said = message_of(raised.value)
    assert said["message"] == "ValueError"
    assert "in fault" in said["stackTrace"]
    assert SECRET not in json.dumps(said)
    quoting = SerinusError("SRN-CONTRACT-003", f"income is {SECRET}", where="line 7", hint="Mend it.")
    assert message_of(quoting)["message"] == "SRN-CONTRACT-003"


@pytest.mark.parametrize(
    ("uri", "made_as"),
    [
        ("/home/runs/r/artefacts/serinus-training-2026-11-28-11-32-11-921204/validate/report", ("validate", "report")),
        ("minio://mlpipeline/v2/artifacts/serinus-training/0f/train/6f1c7a7e-0f0a-4f0e-9d51-2a2a3d1c7b11/model",
         ("train", "model")),
        ("s3://bucket/root/features/table", ("features", "table")),
        ("gs://bucket/root/train/1234567890123/model", ("train", "model")),
    ],
)  # fmt: skip
def test_the_step_that_wrote_an_artefact_is_read_off_its_uri(uri: str, made_as: tuple[str, str]) -> None:
    assert Artefact("whatever", uri, Path(uri)).made_as == made_as


def test_on_a_server_the_contract_or_an_artefact_names_the_model(bench: Bench, tmp_path: Path) -> None:
    bench.context(Context(run=PARENT, file=str(bench.file), opens=True, closes=True))
    bench.ingest(write_csv(tmp_path / "loans.csv", loans()))
    assert [(each.event_type, each.job.name) for each in bench.events] == [
        ("START", "loans.training"), ("START", "loans.training.ingest"),
        ("COMPLETE", "loans.training.ingest"), ("COMPLETE", "loans.training"),
    ]  # fmt: skip
    assert [problem for event in bench.events for problem in problems(event)] == []


def test_the_digest_of_a_directory_is_of_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    one = digest(tmp_path)
    (tmp_path / "a" / "x").write_text("2")
    two = digest(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert len({one, two, digest(tmp_path)}) == 3
    assert digest(tmp_path / "absent") == ""
