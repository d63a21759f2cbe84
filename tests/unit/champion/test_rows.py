"""The champion's bundle and rows: pinned by digest, shown its own features, and nothing that it learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from components.challenge.item import Item
from components.champion.bring import bring
from components.champion.rows import features_of, seen
from components.config import Challenge, ModelConfig, Retrained, Training
from components.step import read_json
from serinus.bundle import open_bundle
from serinus.contract import Contract, dump_contract
from serinus.errors import SerinusError
from tests.unit.components.support import Run, contract, loans

QUICK = ModelConfig(
    name="loans", training=Training(rounds=20, folds=2), challenge=Challenge(retrained=Retrained(fits=0))
)
START = np.datetime64("2026-01-01T00:00:00", "s")


def dated(**changes: Any) -> Contract:
    columns = dump_contract(contract())["columns"] | {"at": {"type": "timestamp"}, "person": {"type": "id"}}
    return contract(
        **({"columns": columns, "event": {"time": "at"}, "entities": {"person": "person"}} | changes)
    )


def with_history() -> Contract:
    """Features that the candidate's contract does not have: a count, and a renamed column's mean."""
    features = [
        {"name": "income", "column": "income"},
        {"name": "applications", "entity": "person", "aggregate": "count", "window": "30d"},
        {"name": "earlier_debt", "entity": "person", "aggregate": "mean", "column": "debt", "window": "30d"},
    ]
    return dated(features=features)


def records(rows: int, *, first: int = 0) -> dict[str, np.ndarray]:
    hours = (np.arange(rows) + first) * np.timedelta64(3600, "s")
    return {**loans(rows, seed=3 + first), "at": START + hours, "person": np.arange(rows) % 90}


def registered(
    place: Path, agreed: Contract, columns: dict[str, np.ndarray], config: ModelConfig = QUICK
) -> Run:
    run = Run(place, agreed, columns, config)
    run.prepare()
    run.judge()
    run.gate()
    run.card()
    run.register(place / "home")
    return run


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = registered(tmp_path_factory.mktemp("champion"), with_history(), records(1200))
    return read_json(run.path("version")) | {"split": run.parts["split_config"]}


def candidate(place: Path, champion: dict[str, Any], columns: dict[str, np.ndarray], agreed: Contract) -> Run:
    run = Run(place, agreed, columns, QUICK)
    run.champion = champion["bundle"], champion["digest"]
    run.prepare()
    run.judge()
    return run


def first(run: Run) -> dict[str, Any]:
    return read_json(run.path("champion"))["items"][0]


def test_a_champion_with_other_features_is_given_them_from_the_same_records(
    champion: dict[str, Any], tmp_path: Path
) -> None:
    run = candidate(tmp_path, champion, records(1200, first=1200), dated())
    theirs = features_of(with_history(), run.contract, run.path("records"), run.path("table"), tmp_path)
    assert not isinstance(theirs, str)
    own = Run(tmp_path / "own", with_history(), records(1200, first=1200), QUICK)
    own.prepare()
    expected = [row[0] for row in own.query("SELECT earlier_debt FROM t ORDER BY row_id")]
    order = [row[0] for row in run.query("SELECT row_id FROM t")]
    found = dict(zip(order, theirs["earlier_debt"].tolist(), strict=True))
    assert [found[i] for i in range(1200)] == pytest.approx(
        [np.nan if value is None else value for value in expected], nan_ok=True
    )
    item = msgspec.convert(first(run), Item)
    assert item.value is not None
    assert item.n == int((np.load(run.path("assignment")) == 3).sum())


def test_a_champion_whose_columns_are_gone_is_no_data_and_says_which(
    champion: dict[str, Any], tmp_path: Path
) -> None:
    columns = records(1200, first=1200)
    del columns["person"]
    bare = contract(
        columns=dump_contract(contract())["columns"] | {"at": {"type": "timestamp"}}, event={"time": "at"}
    )
    item = first(candidate(tmp_path, champion, columns, bare))
    assert (item["verdict"], item["value"]) == ("no_data", None)
    assert "person" in item["why"]


def test_rows_of_the_period_that_the_champion_learned_from_are_left_out(
    champion: dict[str, Any], tmp_path: Path
) -> None:
    """The candidate's records begin in the middle of the champion's: its test rows are partly known to it."""
    known = seen(open_bundle(champion["bundle"], trusted=None), "", champion["split"])
    assert known.until is not None
    run = candidate(tmp_path / "early", champion, records(1080, first=0), dated())
    codes = np.load(run.path("assignment"))
    time = np.array([row[0] for row in run.query("SELECT epoch_us(event_time) FROM t")], dtype=np.int64)
    kept = int(((codes == 3) & (time > known.until)).sum())
    assert 0 < kept < int((codes == 3).sum())
    report = read_json(run.path("champion"))
    assert report["rows"] == kept or report["items"][0]["verdict"] == "no_data"
    assert "learned from" in report["items"][0]["why"]
    whole = candidate(tmp_path / "old", champion, records(600, first=0), dated())
    assert first(whole)["verdict"] == "no_data"


def test_undated_rows_are_fair_only_by_the_same_split_of_the_same_data(tmp_path: Path) -> None:
    run = registered(tmp_path, contract(), loans(1500))
    bundle = open_bundle(read_json(run.path("version"))["bundle"], trusted=None)
    digest = read_json(run.path("ingested"))["digest"]
    assert seen(bundle, digest, run.parts["split_config"]).doubt == ""
    assert "may have learned" in seen(bundle, "sha256:other", run.parts["split_config"]).doubt
    other = json.dumps(json.loads(run.parts["split_config"]) | {"seed": 8})
    assert "may have learned" in seen(bundle, digest, other).doubt


def test_a_bundle_is_taken_by_its_digest_and_nothing_else(champion: dict[str, Any], tmp_path: Path) -> None:
    place, digest = champion["bundle"], champion["digest"]
    assert bring(place, digest, tmp_path / "a").digest == digest
    assert bring(f"file://{place}", digest, tmp_path / "b").digest == digest
    with pytest.raises(SerinusError) as caught:
        bring(place, "sha256:" + "0" * 64, tmp_path / "c")
    assert caught.value.code == "SRN-BUNDLE-008"
    for wrong in ("", "latest"):
        with pytest.raises(SerinusError) as caught:
            bring("s3://models/bundles/latest", wrong, tmp_path / "d")
        assert caught.value.code == "SRN-PIPELINE-042"


def test_a_damaged_champion_is_an_error_and_not_the_same_as_none(
    champion: dict[str, Any], tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(champion["bundle"], copy)
    (copy / "model.txt").chmod(0o644)
    (copy / "model.txt").write_text("tree")
    with pytest.raises(SerinusError) as caught:
        bring(str(copy), champion["digest"], tmp_path / "x")
    assert caught.value.code == "SRN-BUNDLE-003"
