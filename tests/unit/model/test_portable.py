"""Models of other libraries as numbers: they score and explain as where they come from."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression

from serinus.errors import SerinusError
from serinus.model import ensemble
from serinus.model.ensemble import load_ensemble, load_library
from serinus.model.export import export
from serinus.model.linear import LinearEnsemble
from serinus.model.plain import PlainTrees
from serinus.model.portable import PortableLinear, PortableTrees, Term, parse_portable, write_linear

Floats = np.ndarray[Any, np.dtype[np.float64]]
F = 6


def data(seed: int, missing: float = 0.0, rows: int = 400) -> tuple[Floats, Floats]:
    """Numbers, a one-hot pair and a duplicated column; the outcome depends on most of them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, F))
    x[:, 3] = (x[:, 3] > 0).astype(float)
    x[:, 4] = 1 - x[:, 3]
    x[:, 5] = x[:, 0]
    logit = x[:, 0] + x[:, 1] * x[:, 2] + x[:, 3] - 1
    y = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    x[random.random(x.shape) < missing] = np.nan
    return x, y


def load(text: str) -> ensemble.Ensemble:
    return load_ensemble(text, features=F, warn=lambda warning: pytest.fail(str(warning)))


KINDS: list[tuple[Any, float]] = [
    (lambda depth, seed: RandomForestClassifier(8, max_depth=depth, random_state=seed), 0.1),
    (lambda depth, seed: ExtraTreesClassifier(8, max_depth=depth, random_state=seed), 0.0),
    (lambda depth, seed: GradientBoostingClassifier(n_estimators=8, max_depth=depth, random_state=seed), 0.0),
    (lambda depth, seed: HistGradientBoostingClassifier(max_iter=8, max_depth=depth, random_state=seed), 0.1),
]


@pytest.mark.parametrize(("make", "missing"), KINDS, ids=["forest", "extra", "boosting", "histogram"])
@settings(max_examples=6, deadline=None)
@given(depth=st.sampled_from([1, 2, 4, 7, 10, None]), seed=st.integers(0, 1000))
def test_it_scores_as_scikit_learn_and_explains_as_shap(
    make: Any, missing: float, depth: int | None, seed: int
) -> None:
    x, y = data(seed, missing)
    estimator = make(depth, seed).fit(x, y)
    model = load(export(estimator))
    assert model.backend == "native"
    np.testing.assert_allclose(model.probability(x), estimator.predict_proba(x)[:, 1], atol=1e-12)
    found = model.contributions(x[:20])
    oracle = shap.TreeExplainer(estimator).shap_values(x[:20])
    oracle = oracle[..., 1] if oracle.ndim == 3 else oracle
    np.testing.assert_allclose(found[:, :-1], oracle, atol=1e-6)
    for row, expected in zip(x[:5], found, strict=False):
        assert model.contributions_of(np.ascontiguousarray(row)) == pytest.approx(
            expected.tolist(), abs=1e-12
        )
        assert model.probability_of(np.ascontiguousarray(row)) == model.probability(row[None])[0]


@pytest.mark.parametrize(("make", "missing"), KINDS, ids=["forest", "extra", "boosting", "histogram"])
def test_numpy_says_the_same_as_the_kernel(make: Any, missing: float) -> None:
    x, y = data(5, missing)
    text = export(make(5, 5).fit(x, y))
    plain = load_library(text)
    assert isinstance(plain, PlainTrees)
    np.testing.assert_allclose(plain.probability(x), load(text).probability(x), atol=1e-14)
    np.testing.assert_allclose(plain.contributions(x[:10]), load(text).contributions(x[:10]), atol=1e-12)


def test_a_value_between_float32_and_float64_goes_where_scikit_learn_sends_it() -> None:
    x, y = data(7)
    estimator = RandomForestClassifier(30, max_depth=4, random_state=7).fit(x, y)
    model = load(export(estimator))
    thresholds = np.concatenate([t.tree_.threshold[t.tree_.feature == 0] for t in estimator.estimators_])
    near = np.concatenate([np.nextafter(thresholds, side) for side in (-np.inf, np.inf)] + [thresholds])
    rows = np.repeat(x[:1], near.size, axis=0)
    rows[:, 0] = near
    np.testing.assert_allclose(model.probability(rows), estimator.predict_proba(rows)[:, 1], atol=1e-12)


def test_without_the_kernel_numpy_answers_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(8)
    text = export(RandomForestClassifier(5, max_depth=3, random_state=8).fit(x, y))
    expected = load(text).probability(x)
    monkeypatch.setattr(ensemble, "_native", None)
    heard: list[SerinusError] = []
    slow = load_ensemble(text, features=F, warn=heard.append)
    assert slow.backend == "library"
    assert [error.code for error in heard] == ["SRN-MODEL-004"]
    np.testing.assert_allclose(slow.probability(x), expected, atol=1e-14)


def test_the_same_model_gives_the_same_text() -> None:
    x, y = data(9)
    texts = {export(RandomForestClassifier(5, random_state=9).fit(x, y)) for _ in range(2)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (AdaBoostClassifier(n_estimators=2), "none of the kinds"),
        (GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()), "init"),
        (GradientBoostingClassifier(n_estimators=2, loss="exponential"), "loss"),
        (HistGradientBoostingClassifier(max_iter=2, categorical_features=[3]), "categories"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_held_faithfully_is_refused(estimator: Any, why: str) -> None:
    x, y = data(10)
    with pytest.raises(SerinusError, match=why) as caught:
        export(estimator.fit(x, y))
    assert caught.value.code == "SRN-MODEL-005"


def test_other_outcomes_than_zero_and_one_are_refused() -> None:
    x, y = data(11)
    for labels in (np.where(y, "bad", "good"), y + np.arange(y.size) % 2):
        with pytest.raises(SerinusError, match="SRN-MODEL-005"):
            export(RandomForestClassifier(2, max_depth=2).fit(x, labels))
    with pytest.raises(SerinusError, match="SRN-MODEL-005"):
        export(RandomForestClassifier(2))


LINEAR = PortableLinear(
    intercept=-1.0,
    terms=(Term(weight=0.5, mean=2.0), Term(levels=(0.0, 1.0, -1.0), mean=0.25), Term(weight=-2.0)),
)


@pytest.mark.parametrize(
    ("row", "contributions"),
    [
        ([2.0, 0.0, 0.0], [0.0, -0.25, 0.0]),
        ([4.0, 1.0, 1.0], [1.0, 0.75, -2.0]),
        ([np.nan, np.nan, np.nan], [0.0, 0.0, 0.0]),
        ([2.0, 7.0, 0.0], [0.0, 0.0, 0.0]),
        ([2.0, -1.0, 0.0], [0.0, 0.0, 0.0]),
    ],
)
def test_a_linear_model_is_explained_by_weight_times_distance_from_the_mean(
    row: list[float], contributions: list[float]
) -> None:
    model = LinearEnsemble(LINEAR)
    vector = np.array(row)
    base = -1.0 + 0.5 * 2.0 + 0.25
    assert model.contributions_of(vector) == pytest.approx([*contributions, base])
    assert model.contributions(vector[None])[0].tolist() == pytest.approx([*contributions, base])
    assert model.probability_of(vector) == pytest.approx(1 / (1 + np.exp(-sum(contributions) - base)))
    assert model.probability_of(vector) == model.probability(vector[None])[0]


def test_a_linear_model_agrees_with_shaps_linear_explainer() -> None:
    x, y = data(12)
    fitted = LogisticRegression().fit(x, y)
    terms = tuple(
        Term(weight=w, mean=m) for w, m in zip(fitted.coef_[0].tolist(), x.mean(axis=0).tolist(), strict=True)
    )
    model = load(write_linear(PortableLinear(intercept=float(fitted.intercept_[0]), terms=terms)))
    np.testing.assert_allclose(model.probability(x), fitted.predict_proba(x)[:, 1], atol=1e-12)
    background: Any = x.mean(axis=0, keepdims=True)
    oracle: Any = shap.LinearExplainer(fitted, background).shap_values(x)
    np.testing.assert_allclose(model.contributions(x)[:, :-1], oracle, atol=1e-6)


def forest_text() -> dict[str, Any]:
    x, y = data(13)
    return json.loads(export(RandomForestClassifier(3, max_depth=3, random_state=13).fit(x, y)))


def _arrays(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**document, "arrays": {**document["arrays"], **changes}}


def _b64(array: Any) -> str:
    return base64.b64encode(np.asarray(array).tobytes()).decode()


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: {**d, "format": "serinus.io/trees/v9"},
        lambda d: {**d, "extra": 1},
        lambda d: {**d, "link": "probit"},
        lambda d: _arrays(d, left="&&&"),
        lambda d: _arrays(d, left=""),
        lambda d: _arrays(d, start=_b64(np.array([], dtype=np.int64))),
        lambda d: _arrays(d, start=_b64(np.array([0, 1 << 40]))),
        lambda d: _arrays(d, value=_b64(np.full(len(base64.b64decode(d["arrays"]["value"])) // 8, np.nan))),
        lambda d: _arrays(
            d, left=_b64(np.full(len(base64.b64decode(d["arrays"]["left"])) // 4, 9999, np.int32))
        ),
        lambda d: {**d, "arrays": {k: v for k, v in d["arrays"].items() if k != "flags"}},
    ],
)
def test_a_damaged_text_is_refused_and_never_believed(harm: Any) -> None:
    with pytest.raises(SerinusError, match="SRN-MODEL-003"):
        load(json.dumps(harm(forest_text())))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_flipped_byte_of_an_array_does_more_than_be_refused(seed: int) -> None:
    random = np.random.default_rng(seed)
    document = forest_text()
    name = random.choice(sorted(document["arrays"]))
    raw = bytearray(base64.b64decode(document["arrays"][name]))
    if not raw:
        return
    raw[random.integers(len(raw))] ^= int(random.integers(1, 256))
    document["arrays"][name] = base64.b64encode(bytes(raw)).decode()
    try:
        model = load_ensemble(json.dumps(document), features=F, warn=lambda warning: None)
    except SerinusError:
        return
    model.probability(np.zeros((3, F)))
    model.contributions(np.zeros((3, F)))


def test_another_number_of_features_is_refused() -> None:
    with pytest.raises(SerinusError, match="SRN-MODEL-002"):
        load_ensemble(write_linear(LINEAR), features=4, warn=lambda warning: None)


def test_the_formats_are_told_apart() -> None:
    assert isinstance(parse_portable(json.dumps(forest_text()), where=""), PortableTrees)
    assert isinstance(parse_portable(write_linear(LINEAR), where=""), PortableLinear)
