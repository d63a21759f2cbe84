"""The published card transactions, asked for by entity: the scores are those of the batch's features."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from components.ingest import ingest
from serinus.bundle import Bundle, SigningKey, build_reference, write_bundle
from serinus.contract import load_contract
from serinus.features import compute_features, read_columns
from serinus.model import Vectorizer, fit_isotonic
from serinus.scoring import Scorer
from serving.local.demo import records
from tests.local.scorer.process import ScorerProcess, connection
from tests.local.scorer.test_entities import feed, score
from tests.support.bundles import small_home, small_parts
from tests.support.redis import RedisServer, need_redis

ROWS, ASKED = 80_000, 1_000
CONTRACT = Path(__file__).parents[3] / "models" / "fraud" / "contract.yaml"
COLUMNS = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")


@pytest.fixture(scope="module")
def slice_(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first rows: eight days, so that windows delayed by a week hold something at their end."""
    directory = tmp_path_factory.mktemp("cards")
    raw = directory / "cards.csv"
    with gzip.open(source, "rt") as whole, raw.open("w") as part:
        part.writelines(itertools.islice(whole, ROWS + 1))
    contract = load_contract(CONTRACT)
    ingest(raw, contract, directory / "records.parquet")
    compute_features(contract, directory / "records.parquet", directory / "features.parquet")
    return directory


@pytest.fixture(scope="module")
def bundle(slice_: Path) -> Bundle:
    contract = load_contract(CONTRACT)
    names = contract.feature_names
    table = read_columns(slice_ / "features.parquet", [*names, "label"])
    matrix = Vectorizer(contract, {}).encode_columns({name: table[name] for name in names})
    outcome = np.nan_to_num(table["label"])
    # A model to tell rows apart, not to find fraud, of which eight days hold little.
    outcome = np.maximum(outcome, (matrix[:, 0] > 100) & (matrix[:, 3] > 2))
    data = lightgbm.Dataset(matrix, outcome)
    parameters = {"objective": "binary", "num_leaves": 31, "seed": 1, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train({**parameters, "deterministic": True}, data, num_boost_round=40)
    head = matrix[:2000]
    raw = np.asarray(booster.predict(head, num_threads=1))
    calibrator = fit_isotonic(raw, outcome[:2000])
    parts = replace(
        small_parts(),
        name="fraud",
        contract=contract,
        model_text=booster.model_to_string(),
        levels={},
        calibrator=calibrator,
        reference=build_reference(contract, {}, head, calibrator.apply(raw)),
        reference_rows=head,
        reference_scores=calibrator.apply(raw),
        golden_rows=head[:16],
        golden_scores=calibrator.apply(raw[:16]),
        golden_contributions=np.asarray(booster.predict(head[:16], pred_contrib=True, num_threads=1)),
    )
    home = small_home(slice_)
    return write_bundle(home.bundles, parts, SigningKey.load_or_create(home.keys))


@pytest.fixture(scope="module")
def asked(slice_: Path) -> list[dict[str, Any]]:
    last = itertools.islice(records.rows(slice_ / "records.parquet"), ROWS - ASKED, None)
    return [{n: r[n] if n != "TX_DATETIME" else r[n].isoformat() for n in COLUMNS} for r in last]


@pytest.fixture(scope="module")
def past(slice_: Path) -> Path:
    """What came before, as JSON lines with labels."""
    path = slice_ / "past.jsonl"
    with path.open("w") as file:
        for record in itertools.islice(records.rows(slice_ / "records.parquet"), ROWS - ASKED):
            file.write(json.dumps(record, default=lambda time: time.isoformat()) + "\n")
    return path


@pytest.fixture(scope="module")
def wanted(slice_: Path, bundle: Bundle) -> list[float]:
    names = bundle.contract.feature_names
    table = read_columns(slice_ / "features.parquet", list(names))
    made = Scorer(bundle)
    matrix = made.vectorizer.encode_columns({name: table[name][-ASKED:] for name in names})
    assert np.isfinite(matrix).any(axis=0).all(), "every feature must be there for some row"
    return made.many(matrix, "never").probability.tolist()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    need_redis()
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, RedisServer(Path(directory)) as server:
        yield server


@pytest.mark.slow
def test_from_memory_each_score_is_that_of_the_batch(
    slice_: Path, bundle: Bundle, past: Path, asked: list[dict[str, Any]], wanted: list[float]
) -> None:
    program = ScorerProcess(bundle.path, slice_ / "home", "--features-warm", str(past))
    with program, connection(program.port) as client:
        found = [score(client, record) for record in asked]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    assert len(set(found)) > ASKED / 10


@pytest.mark.slow
def test_from_a_redis_that_two_replicas_share_each_score_is_that_of_the_batch(
    slice_: Path,
    bundle: Bundle,
    past: Path,
    asked: list[dict[str, Any]],
    wanted: list[float],
    redis: RedisServer,
) -> None:
    fed = feed("--store", redis.url, "--bundle", str(bundle.path), "--records", str(past), timeout=500)
    assert fed.returncode == 0, fed.stderr
    flags = ("--store", redis.url, "--update-on-score", "on", "--store-timeout", "20")
    logs = [("--log", str(slice_ / f"{n}.jsonl")) for n in (1, 2)]
    one, two = (ScorerProcess(bundle.path, slice_ / "home", *flags, *log) for log in logs)
    with one, two, connection(one.port) as first, connection(two.port) as second:
        found = [score(second if n % 2 else first, record) for n, record in enumerate(asked)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
