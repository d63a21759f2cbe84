"""The steps over a small data set: a sound one is registered, a leaking or biased one is not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from components.config import (
    Challenge,
    Gate,
    Gates,
    Lightgbm,
    ModelConfig,
    Retrained,
    Scenario,
    Scorecard,
    Split,
    Training,
)
from components.evaluate.names import METRICS
from components.register.register import commit_of
from components.step import StepError, read_json
from components.table import TEST, TRAIN
from components.train.train import MODEL, OUT_OF_FOLD
from serinus.bundle import Keyring, SigningKey, open_bundle
from serinus.contract import dump_contract
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.rotation import retire_key, trust_key
from serinus.scoring import Scorer
from serinus.watching.online import calibrate
from tests.unit.components.support import Run, contract, loans

ONCE = Challenge(retrained=Retrained(fits=0))
QUICK = ModelConfig(name="loans", owner="credit", training=Training(rounds=40, folds=3), challenge=ONCE)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("sound"), contract(), loans(), QUICK)
    run.prepare()
    run.judge()
    run.gate()
    run.card()
    return run


def test_any_table_with_a_contract_trains_and_passes_the_default_gates(sound: Run) -> None:
    found = read_json(sound.path("validation"))
    assert found["verdict"] == "pass"
    assert {demand["metric"] for demand in found["demands"]} >= {gate.metric for gate in Gates().metrics}


def test_every_metric_is_reported_and_the_unmeasured_is_null(sound: Run) -> None:
    found = read_json(sound.path("metrics"))
    assert set(found["metrics"]) == set(METRICS)
    assert found["metrics"]["auc"] > 0.75
    assert found["metrics"]["cost_per_1000"] is None  # the contract names no costs


def test_every_row_is_scored_by_a_model_that_has_not_seen_it(sound: Run) -> None:
    codes, unseen = np.load(sound.path("assignment")), np.load(sound.path("model") / OUT_OF_FOLD)
    assert np.isfinite(unseen[codes == TRAIN]).all()
    from components.table import encode, read_features
    from components.train.booster import load
    from components.train.train import load_levels

    rows = read_features(sound.contract, sound.path("table"))
    encoded = encode(sound.contract, load_levels(sound.path("model")), rows.columns)
    itself = load((sound.path("model") / MODEL).read_text()).probability(encoded)
    assert (itself[codes == TEST] == unseen[codes == TEST]).all()
    assert not np.isclose(itself[codes == TRAIN], unseen[codes == TRAIN]).all()


def test_monotone_features_are_monotone(sound: Run) -> None:
    from components.train.booster import load

    model = load((sound.path("model") / MODEL).read_text())
    debts = np.column_stack([np.full(50, 40.0), np.linspace(-3, 3, 50), np.zeros(50)])
    assert (np.diff(model.probability(debts)) >= 0).all()


def test_reasons_add_up_and_name_no_protected_attribute(sound: Run) -> None:
    found = read_json(sound.path("explain"))
    assert {item["check"]: item["verdict"] for item in found["checks"]} == {
        "protected_features": "pass",
        "additivity_error": "pass",
        "adverse_without_reason": "pass",
        "says_something": "pass",
    }
    assert next(iter(found["importance"])) == "debt"


def test_the_card_shows_what_the_run_found_and_escapes_what_people_wrote(sound: Run, tmp_path: Path) -> None:
    config = msgspec.structs.replace(QUICK, purpose="<script>alert(1)</script>")
    other = Run(tmp_path, contract(), loans(), config)
    for name in (
        "contract",
        "ingested",
        "profile",
        "split",
        "training",
        "metrics",
        "fairness",
        "explain",
        "challenge",
        "validation",
    ):
        other.path(name).write_bytes(sound.path(name).read_bytes())
    other.card()
    page = other.path("card.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    for drawing in (
        "ROC",
        "Precision and recall",
        "Calibration",
        "SHAP summary",
        "AUC lost",
        "Adverse impact ratio",
    ):
        assert f"<figcaption>{drawing}" in page
    assert read_json(sound.path("ingested"))["digest"] in page
    assert "The records carry no event time" in page
    assert "adverse_impact_ratio group=a" in page


def test_the_card_is_the_same_bytes_again(sound: Run) -> None:
    before = sound.path("card.html").read_bytes()
    sound.card()
    assert sound.path("card.html").read_bytes() == before


def test_a_sound_model_is_registered_signed_and_scores_as_it_was_validated(
    sound: Run, tmp_path: Path
) -> None:
    home = Home(tmp_path)
    sound.register(tmp_path)
    version = Registry(home).get("loans")
    assert (version.stage, version.built_by, version.owner, version.run) == (
        "validated",
        "ann",
        "credit",
        "run-1",
    )
    bundle = open_bundle(version.path, trusted=Keyring.load(home.keys))
    Scorer(bundle).self_test()
    assert bundle.golden_rows.shape == (32, 3)
    assert bundle.reference_rows.shape[0] == bundle.reference_scores.shape[0] > 300
    assert bundle.online == calibrate(
        bundle.contract, bundle.levels, bundle.reference_rows, bundle.reference_scores
    ), "the thresholds of the online tests are the bundle's, and can be computed again from it"
    assert bundle.provenance["data"]["rows"] == 1500


def test_the_same_inputs_give_the_same_version_and_other_inputs_another(sound: Run, tmp_path: Path) -> None:
    sound.register(tmp_path, by="ann", run="run-1")
    first = read_json(sound.path("version"))
    sound.register(tmp_path, by="bob", run="run-2")
    again = read_json(sound.path("version"))
    assert (again["digest"], again["version"], again["created"]) == (first["digest"], 1, False)
    sound.register(tmp_path, code='{"digest": "other"}')
    assert read_json(sound.path("version"))["version"] == 2
    assert len(list(Home(tmp_path).bundles.iterdir())) == 2


def test_two_installations_give_the_same_digest(sound: Run, tmp_path: Path) -> None:
    digests = set()
    for place in ("one", "two"):
        sound.register(tmp_path / place, by=place, run=place)
        digests.add(read_json(sound.path("version"))["digest"])
    assert len(digests) == 1


def test_training_again_gives_the_same_model(sound: Run, tmp_path: Path) -> None:
    other = Run(tmp_path, contract(), loans(), QUICK)
    other.prepare()
    other.judge()
    for name in ("metrics", "fairness", "explain", "challenge", "split"):
        assert other.path(name).read_bytes() == sound.path(name).read_bytes()
    assert (other.path("model") / MODEL).read_bytes() == (sound.path("model") / MODEL).read_bytes()


def test_nothing_is_left_of_a_bundle_that_could_not_be_registered(
    sound: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "register", full)
        with pytest.raises(OSError, match="No space"):
            sound.register(tmp_path)
    assert list(Home(tmp_path).bundles.iterdir()) == []
    assert Registry(Home(tmp_path)).models() == []


def test_what_has_not_passed_cannot_be_registered(sound: Run, tmp_path: Path) -> None:
    before = sound.path("validation").read_bytes()
    try:
        sound.path("validation").write_text('{"verdict": "fail", "demands": []}')
        with pytest.raises(SerinusError) as caught:
            sound.register(tmp_path)
    finally:
        sound.path("validation").write_bytes(before)
    assert caught.value.code == "SRN-PIPELINE-035"
    assert not (tmp_path / "registry.db").exists()


def test_the_bundle_is_put_where_clusters_fetch_it_and_again_changes_nothing(
    sound: Run, tmp_path: Path
) -> None:
    place = f"file://{tmp_path}/models"
    sound.register(tmp_path / "home", bundles=place)
    first = read_json(sound.path("version"))
    assert first["uri"] == f"{place}/{first['digest'].removeprefix('sha256:')}"
    trusted = Keyring.load(Home(tmp_path / "home").keys)
    assert open_bundle(first["uri"].removeprefix("file://"), trusted=trusted).digest == first["digest"]
    sound.register(tmp_path / "home", bundles=place)
    assert read_json(sound.path("version")) == first | {"created": False}


def test_a_place_that_was_away_gets_the_bundle_from_the_next_run(sound: Run, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    place = f"file://{tmp_path}/models"
    with pytest.raises(SerinusError, match="SRN-STORE|SRN-HOME"):
        sound.register(tmp_path / "home", bundles=place)
    (tmp_path / "models").unlink()
    sound.register(tmp_path / "home", bundles=place)
    told = read_json(sound.path("version"))
    assert (told["version"], told["created"]) == (1, False)
    assert (Path(told["uri"].removeprefix("file://")) / "manifest.json").exists()


def test_what_is_no_place_for_bundles_costs_no_registration(sound: Run, tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match="SRN-STORE-001"):
        sound.register(tmp_path / "home", bundles="models")
    assert not (tmp_path / "home" / "registry.db").exists()


def test_a_mounted_key_signs_and_none_is_made_in_its_place(
    sound: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERINUS_SIGNING_KEYS", str(tmp_path / "mounted"))
    with pytest.raises(SerinusError, match="SRN-KEY-003"):
        sound.register(tmp_path / "home")
    SigningKey.load_or_create(tmp_path / "mounted")
    sound.register(tmp_path / "home")
    bundle = read_json(sound.path("version"))["bundle"]
    open_bundle(bundle, trusted=Keyring.load(tmp_path / "mounted"))
    assert not (tmp_path / "home" / "keys" / "signing.pem").exists()


def test_a_mounted_key_that_this_installation_retired_signs_nothing(
    sound: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    key = SigningKey.load_or_create(tmp_path / "mounted")
    monkeypatch.setenv("SERINUS_SIGNING_KEYS", str(tmp_path / "mounted"))
    registry = Registry(home)
    trust_key(registry, home, tmp_path / "mounted" / f"trusted-{key.id}.pem", by="ann")
    retire_key(registry, home, key.id, by="ann", reason="a laptop was stolen")
    with pytest.raises(SerinusError, match="SRN-KEY-004.*retired"):
        sound.register(home.root)
    assert registry.models() == []


def test_the_registry_knows_what_the_bundle_cannot(
    sound: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERINUS_COMMIT", "4f2a1c")
    content, link = tmp_path / "loans.csv", tmp_path / "by-content.csv"
    content.write_text("x")
    link.symlink_to(content)
    sound.register(tmp_path / "home", source=str(link))
    version = Registry(Home(tmp_path / "home")).get("loans")
    assert (version.lineage.commit, version.lineage.data.source) == ("4f2a1c", str(content))
    assert version.lineage.data.digest == read_json(sound.path("ingested"))["digest"]
    assert version.key == SigningKey.load(tmp_path / "home" / "keys").id
    assert b"4f2a1c" not in (Path(version.path) / "provenance.json").read_bytes()


@pytest.mark.parametrize(
    ("told", "changed", "expected"),
    [("abc", False, "abc"), ("unknown", False, ""), ("", False, "HEAD"), ("", True, "HEAD-dirty")],
)
def test_the_commit_is_the_images_or_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, changed: bool, expected: str
) -> None:
    monkeypatch.setenv("SERINUS_COMMIT", told)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True, capture_output=True, timeout=30)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True, timeout=30)
    if changed:
        (tmp_path / "file").write_text("2")
    assert commit_of(tmp_path) == expected.replace("HEAD", head.stdout.strip())


def test_what_is_no_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERINUS_COMMIT", raising=False)
    assert commit_of(tmp_path) == ""


def stopped(run: Run) -> StepError:
    run.prepare()
    run.judge()
    with pytest.raises(StepError) as caught:
        run.gate()
    return caught.value


def failing(error: StepError) -> set[str]:
    return {demand["metric"] for demand in error.details["demands"] if demand["verdict"] == "fail"}


def test_a_feature_that_knows_the_answer_is_stopped_as_a_leak(tmp_path: Path) -> None:
    columns = loans()
    columns["income"] = np.where(columns["bad"] == "Y", 1.0, 100.0) + np.arange(1500) % 7
    error = stopped(Run(tmp_path, contract(), columns, QUICK))
    assert error.code == "SRN-GATE-001"
    assert "single_feature_auc" in failing(error)
    assert "single_feature_auc 1 (<= 0.99)" in error.what


def test_a_feature_that_is_absent_where_the_outcome_is_bad_is_a_leak_too(tmp_path: Path) -> None:
    columns = loans()
    columns["debt"] = np.where(columns["bad"] == "Y", np.nan, np.arange(1500) % 11)
    assert "single_feature_auc" in failing(stopped(Run(tmp_path, contract(), columns, QUICK)))


def test_a_model_that_treats_a_group_worse_is_stopped_by_the_policy(tmp_path: Path) -> None:
    error = stopped(Run(tmp_path, contract(), loans(bias=1.5), QUICK))
    assert failing(error) == {"adverse_impact_ratio group=a"}


def challenged(challenge: Challenge) -> ModelConfig:
    return msgspec.structs.replace(
        QUICK, challenge=msgspec.structs.replace(challenge, retrained=ONCE.retrained)
    )


def test_a_model_whose_world_moved_is_stopped_as_unstable(tmp_path: Path) -> None:
    """Dated loans whose debts rise in the last fifth: the test rows are not the rows that taught."""
    columns = loans(3000)
    columns["debt"] = columns["debt"] + 2.0 * (np.arange(3000) >= 2400)
    day = np.datetime64("2026-01-01", "s") + np.arange(3000) * np.timedelta64(3600, "s")
    dated = contract(
        columns={**dump_contract(contract())["columns"], "at": {"type": "timestamp"}}, event={"time": "at"}
    )
    error = stopped(Run(tmp_path / "moved", dated, {**columns, "at": day}, QUICK))
    assert "score_psi" in failing(error)
    still = Run(tmp_path / "still", dated, {**loans(3000), "at": day}, QUICK)
    still.prepare()
    still.judge()
    assert still.gate()["verdict"] == "pass"
    report = read_json(still.path("challenge"))
    assert [item["verdict"] for item in report["items"] if item["name"] == "worst_period_auc"] == ["pass"]
    assert len(report["periods"]) == 4


def test_a_model_that_does_not_survive_its_stress_test_is_stopped(tmp_path: Path) -> None:
    lost = Scenario(name="bureau silent", missing=("debt",), auc_min=0.75)
    error = stopped(Run(tmp_path / "lost", contract(), loans(), challenged(Challenge(scenarios=(lost,)))))
    assert failing(error) == {"bureau silent AUC"}
    mild = Scenario(name="mild", multiply={"income": 0.98}, auc_min=0.75)
    run = Run(tmp_path / "mild", contract(), loans(), challenged(Challenge(scenarios=(mild,))))
    run.prepare()
    run.judge()
    assert run.gate()["verdict"] == "pass"


def test_a_model_that_a_plain_scorecard_beats_is_stopped_where_the_config_says_so(tmp_path: Path) -> None:
    """One stump sees less than a scorecard does."""
    poor = Training(rounds=1, parameters=Lightgbm(num_leaves=2, min_data_in_leaf=400))
    beaten = ModelConfig(training=poor, challenge=Challenge(scorecard=Scorecard(demand="stop")))
    run = Run(tmp_path / "beaten", contract(), loans(4000), beaten)
    assert "scorecard_auc_gain" in failing(stopped(run))
    warned = ModelConfig(training=poor, challenge=Challenge(scorecard=Scorecard(demand="warn")))
    run = Run(tmp_path / "warned", contract(), loans(4000), warned)
    run.prepare()
    run.judge()
    item = next(i for i in read_json(run.path("challenge"))["items"] if i["name"] == "scorecard_auc_gain")
    assert (item["verdict"], item["blocks"]) == ("fail", False)


def test_a_model_judged_on_rows_it_was_trained_on_is_stopped(tmp_path: Path) -> None:
    once = loans(200)
    columns = {name: np.tile(values, 8) for name, values in once.items()}
    error = stopped(Run(tmp_path, contract(), columns, QUICK))
    assert "test_rows_in_training" in failing(error)


def test_an_overfit_model_is_stopped(tmp_path: Path) -> None:
    wild = Training(
        rounds=400,
        early_stopping=0,
        folds=3,
        parameters=Lightgbm(num_leaves=256, min_data_in_leaf=1, lambda_l2=0.0, learning_rate=0.3),
    )
    free = contract(features=[{"name": name, "column": name} for name in ("income", "debt", "purpose")])
    error = stopped(Run(tmp_path, free, loans(400), msgspec.structs.replace(QUICK, training=wild)))
    assert "auc_drop" in failing(error)


def test_noise_is_stopped(tmp_path: Path) -> None:
    columns = loans()
    columns["bad"] = np.random.default_rng(9).permutation(columns["bad"])
    assert "auc_low" in failing(stopped(Run(tmp_path, contract(), columns, QUICK)))


def test_a_metric_that_cannot_be_measured_stops_unless_the_config_only_reports_it(tmp_path: Path) -> None:
    gates = Gates(metrics=(Gate(metric="cost_per_1000", max=10.0),))
    run = Run(tmp_path, contract(), loans(), msgspec.structs.replace(QUICK, gates=gates))
    error = stopped(run)
    assert error.code == "SRN-GATE-002"
    assert "cost_per_1000 no data" in error.what
    run.parts["gates_config"] = json.dumps(
        {"metrics": [{"metric": "cost_per_1000", "max": 10.0}], "no_data": "report"}
    )
    assert run.gate()["verdict"] == "pass"


def test_a_policy_under_which_nobody_can_be_judged_stops(tmp_path: Path) -> None:
    base = contract()
    assert base.fairness is not None
    strict = msgspec.structs.replace(base, fairness=msgspec.structs.replace(base.fairness, min_group=5000))
    error = stopped(Run(tmp_path, strict, loans(), QUICK))
    assert error.code == "SRN-GATE-002"
    assert "fairness policy" in error.what


def test_reweighing_narrows_the_gap_and_keeps_the_attribute_out_of_the_model(tmp_path: Path) -> None:
    columns = loans(bias=0.6)
    plain, fair = (
        Run(tmp_path / name, contract(), columns, msgspec.structs.replace(QUICK, training=training))
        for name, training in (
            ("plain", QUICK.training),
            ("fair", msgspec.structs.replace(QUICK.training, mitigation="reweigh")),
        )
    )
    ratios = []
    for run in (plain, fair):
        run.prepare()
        run.judge()
        ratios.append(read_json(run.path("fairness"))["findings"][0]["value"])
    assert ratios[1] > ratios[0] + 0.01
    assert "group" not in (fair.path("model") / MODEL).read_text().split("feature_names=")[1].split("\n")[0]


def test_an_excluded_feature_has_no_part_in_any_tree(tmp_path: Path) -> None:
    config = msgspec.structs.replace(
        QUICK, training=msgspec.structs.replace(QUICK.training, exclude=("debt",))
    )
    run = Run(tmp_path, contract(), loans(), config)
    run.prepare()
    run.judge()
    assert read_json(run.path("explain"))["importance"]["debt"] == 0
    run.parts["training_config"] = json.dumps({"exclude": ["dept"]})
    with pytest.raises(SerinusError, match='"dept"') as caught:
        run.judge()
    assert caught.value.code == "SRN-PIPELINE-036"


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        (loans(40), "SRN-PIPELINE-030"),
        ({**loans(300), "bad": np.where(np.arange(300) < 4, "Y", "N")}, "SRN-PIPELINE-033"),
    ],
    ids=["too few rows", "too few bad outcomes"],
)
def test_what_no_model_can_be_trained_on_is_refused(
    columns: dict[str, np.ndarray], code: str, tmp_path: Path
) -> None:
    config = msgspec.structs.replace(QUICK, split=Split(train=0.8, validation=0.1, test=0.1))
    with pytest.raises(SerinusError) as caught:
        Run(tmp_path, contract(), columns, config).prepare()
    assert caught.value.code == code
