"""The published simulation of card transactions, all 1.75 million rows, through ingest and both engines."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from components.ingest import ingest
from serinus.contract import load_contract
from serinus.features.batch import compute_features
from serinus.features.stream import FeatureStream
from serving.local.demo import records

ROOT = Path(__file__).parents[3]
STREAMED = 60_000


@pytest.mark.slow
def test_every_row_is_read_and_batch_and_stream_agree(tmp_path: Path, source: Path) -> None:
    contract = load_contract(ROOT / "models" / "fraud" / "contract.yaml")
    report = ingest(source, contract, tmp_path / "records.parquet")
    assert (report.rows, report.positives) == (1_754_155, 14_681)
    table = compute_features(contract, tmp_path / "records.parquet", tmp_path / "features.parquet")
    assert table.rows == report.rows

    stream = FeatureStream(contract)
    names = contract.feature_names
    batch = records.rows(tmp_path / "features.parquet")
    replayed = itertools.islice(records.rows(tmp_path / "records.parquet"), STREAMED)
    for record, row in zip(replayed, batch, strict=False):
        features = stream.features(record)
        wanted = np.array([np.nan if row[n] is None else row[n] for n in names], dtype=float)
        found = np.array([np.nan if features[n] is None else features[n] for n in names], dtype=float)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, err_msg=str(record))
        stream.update(record)
