"""Any bytes get an answer below 500; a model that fails is a 500 in the protocol's shape."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.bundle import SigningKey, write_bundle
from serinus.scoring import Scorer
from tests.support.bundles import small_home, small_parts
from tests.unit.scorer.support import BAD, GOOD, NAMES, rig, v1, v2

PATHS = ["/predict", "/v2/models/small/infer", "/api/v1.0/feedback"]
RIG = rig(limit=10**9)
words = [
    "data",
    "names",
    "ndarray",
    "tensor",
    "shape",
    "values",
    "jsonData",
    "rows",
    "meta",
    "puid",
    "inputs",
]
words += ["name", "datatype", "id", "outputs", "parameters", "truth", "reward", "request", "response"]
keys = st.sampled_from([*NAMES, *words])
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = st.recursive(
    values, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
)
rows = st.lists(st.lists(values, min_size=4, max_size=6), max_size=3)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*NAMES, "x"]),
        "shape": st.lists(st.integers(-1, 6), max_size=3),
        "datatype": st.sampled_from(["FP64", "INT64", "BYTES", "BOOL", "FP8"]),
        "data": st.lists(values | st.lists(values, max_size=3), max_size=6),
    }
)
documents = (
    trees
    | rows.map(lambda r: {"data": {"ndarray": r}})
    | rows.map(lambda r: {"data": {"names": NAMES, "ndarray": r}})
    | st.lists(st.dictionaries(st.sampled_from([*NAMES, "sex"]), values, max_size=6), max_size=3).map(
        lambda r: {"jsonData": {"rows": r}}
    )
    | st.lists(tensors, max_size=6).map(lambda t: {"inputs": t})
)


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=200), path=st.sampled_from(PATHS))
def test_any_bytes_are_answered_below_500(body: bytes, path: str) -> None:
    assert 200 <= RIG.call("POST", path, body).status < 500


@settings(max_examples=300, deadline=None)
@given(document=documents, path=st.sampled_from(PATHS))
def test_any_json_is_answered_below_500_with_a_finite_probability_or_an_error(
    document: Any, path: str
) -> None:
    answer = RIG.call("POST", path, json.dumps(document).encode("utf-8", "surrogatepass"))
    assert 200 <= answer.status < 500
    if answer.status == 200 and path == "/predict":
        assert np.isfinite(answer.json["data"]["ndarray"]).all()
    if answer.status != 200:
        assert list(answer.json) == (["error"] if path.startswith("/v2") else ["status"])


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, 400),
    position=st.integers(0, 400),
    byte=st.integers(0, 255),
    path=st.sampled_from(PATHS),
)
def test_a_damaged_good_request_is_answered_below_500(cut: int, position: int, byte: int, path: str) -> None:
    good = bytearray(json.dumps(v2(BAD) if path.startswith("/v2") else v1(BAD, names=NAMES)).encode())
    good[position % len(good)] = byte
    assert 200 <= RIG.call("POST", path, bytes(good[: len(good) - cut % 40])).status < 500


def test_an_integer_too_long_to_be_quoted_is_refused() -> None:
    huge = b"9" * 5000
    for path, body in (
        ("/predict", b'{"data":{"ndarray":[[%s,1,"chip",1,0]]}}' % huge),
        ("/predict", b'{"data":{"ndarray":[[1,1,%s,1,0]]}}' % huge),
        ("/predict", b'{"data":{"tensor":{"shape":[%s,1],"values":[1]}}}' % huge),
        ("/v2/models/small/infer", json.dumps(v2(BAD)).encode().replace(b"900.0", huge)),
    ):
        assert RIG.call("POST", path, body).status == 400


@pytest.fixture
def broken(tmp_path: Path) -> Scorer:
    """A real bundle whose first tree answers NaN in its first leaf."""
    parts = small_parts()
    leaf, size = (re.search(p, parts.model_text) for p in (r"leaf_value=(\S+)", r"tree_sizes=(\d+)"))
    assert leaf is not None
    assert size is not None
    text = parts.model_text.replace(leaf[0], "leaf_value=nan", 1)
    text = text.replace(size[0], f"tree_sizes={int(size[1]) - len(leaf[1]) + 3}", 1)
    home = small_home(tmp_path)
    return Scorer(
        write_bundle(home.bundles, replace(parts, model_text=text), SigningKey.load_or_create(home.keys))
    )


@pytest.mark.parametrize(("path", "shape"), [("/predict", "status"), ("/v2/models/small/infer", "error")])
def test_a_probability_that_is_no_number_is_a_500_that_is_counted_and_reported(
    broken: Scorer, path: str, shape: str
) -> None:
    made = rig(model=broken)
    encoded = broken.bundle.reference_rows
    faulty = np.isnan(broken.probabilities(encoded)[1])
    named = [broken.vectorizer.decode(row) for row in (*encoded[faulty][:3], *encoded[~faulty][:3])]
    rows = [[int(value) if name == "hour" else value for name, value in row.items()] for row in named]  # pyright: ignore
    answers = [made.predict(v1(row) if path == "/predict" else v2(row), path) for row in rows]
    bad = next(answer for answer in answers if answer.status != 200)
    count = 3
    assert [answer.status for answer in answers] == [500] * 3 + [200] * 3
    assert list(bad.json) == [shape]
    assert "SRN-SCORE-001" in bad.body.decode()
    assert made.service.recorder.pending == len(rows) - count
    assert [error.code for error in made.reported] == ["SRN-SCORE-001"] * count
    assert made.metric('serinus_requests_total{code="500",model="small",predictor="canary"}') == count


def test_an_unforeseen_fault_is_a_500_in_shape_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rig(model=Scorer(rig().service.scorer.bundle))
    monkeypatch.setattr(made.service.scorer, "one", lambda *_: 1 / 0)
    answer = made.predict(v1(GOOD))
    assert (answer.status, answer.json["status"]["reason"]) == (500, "MICROSERVICE_INTERNAL_ERROR")
    assert [error.code for error in made.reported] == ["SRN-SCORER-005"]
