"""Records come from S3 and the bundle goes there: what a pod of the pipeline does on a cluster."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import obstore
import pytest

from components.config import ModelConfig, Training
from components.ingest.task import ingest_records
from components.step import read_json
from serinus.bundle import Keyring, fetch_bundle
from serinus.contract import dump_contract
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.storage import Budget, open_store
from tests.support.s3 import S3Server
from tests.unit.components.support import Run, contract, loans

pytestmark = pytest.mark.local
QUICK = ModelConfig(name="loans", owner="credit", training=Training(rounds=40, folds=3))


def test_from_records_in_a_bucket_to_a_bundle_in_a_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run", contract(), loans(), QUICK)
    with S3Server(tmp_path) as server:
        bucket = server.bucket("models")
        obstore.put(bucket, "records/loans.csv", run.data)
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
        (tmp_path / "scratch").mkdir()

        text = json.dumps(dump_contract(run.contract))
        ingest_records(
            "s3://models/records/loans.csv",
            text,
            *(tmp_path / n for n in ("records", "contract", "ingested")),
        )
        here = ingested(run, tmp_path / "here", text)
        assert read_json(tmp_path / "ingested") == here, "the place leaves no trace in what was read"
        assert list((tmp_path / "scratch").iterdir()) == []
        with pytest.raises(SerinusError, match="SRN-STORE-002"):
            ingest_records(
                "s3://models/no.csv", text, *(tmp_path / n for n in ("records", "contract", "ingested"))
            )

        run.prepare()
        run.judge()
        run.gate()
        run.card()
        run.register(tmp_path / "home", bundles="s3://models/bundles")
        told = read_json(run.path("version"))
        found = fetch_bundle(
            open_store(told["uri"]),
            tmp_path / "mnt",
            trusted=Keyring.load(Home(tmp_path / "home").keys),
            digest=told["digest"],
            budget=Budget(60, 1 << 30),
        )
        assert found.bundle.digest == told["digest"]


def ingested(run: Run, directory: Path, text: str) -> object:
    directory.mkdir()
    ingest_records(str(run.data), text, *(directory / n for n in ("records", "contract", "ingested")))
    return read_json(directory / "ingested")
