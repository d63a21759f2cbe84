"""A sound model is registered: signed, found again by its inputs, and put where others fetch it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from components.register.register import commit_of
from components.step import read_json
from components.train.train import MODEL
from serinus.bundle import Keyring, SigningKey, open_bundle
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.receiving import Receiver
from serinus.registry.registration import read_registration
from serinus.registry.rotation import retire_key, trust_key
from serinus.registry.sending import Answer, Unreached
from serinus.scoring import Scorer
from serinus.watching.online import calibrate
from tests.unit.components.support import QUICK, Run, contract, loans


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


def test_a_record_keeper_is_told_and_told_again_by_the_next_run_where_it_was_away(
    sound: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = Keeper(tmp_path / "keeper", tmp_path / "home")
    monkeypatch.setattr("components.register.register.channel_to", lambda: keeper)
    place = f"file://{tmp_path}/models"
    with pytest.raises(SerinusError, match="SRN-RECORDS-011"):
        sound.register(tmp_path / "home", bundles=place)
    here = Registry(Home(tmp_path / "home")).get("loans")
    assert here.stage == "validated", "what is registered here stays so"
    keeper.there = True
    sound.register(tmp_path / "home", bundles=place)
    told = read_json(sound.path("version"))
    assert (told["version"], told["created"]) == (1, False)
    there = Registry(Home(tmp_path / "keeper")).get("loans")
    changed = {"path": here.path, "created": here.created}
    assert msgspec.structs.replace(there, **changed) == here
    assert keeper.last.bundle == told["uri"]
    sound.register(tmp_path / "home", by="bob", run="run-9", bundles=place)
    assert Registry(Home(tmp_path / "keeper")).get("loans") == there
    assert "what it has stands" not in capsys.readouterr().err
    # Another home, in which bob built the same: the same bundle, of which the keeper knows the first builder.
    shutil.copytree(tmp_path / "home" / "keys", tmp_path / "other" / "keys")
    sound.register(tmp_path / "other", by="bob", run="run-9", bundles=place)
    assert Registry(Home(tmp_path / "keeper")).get("loans") == there
    assert "with another built_by, run; what it has stands" in capsys.readouterr().err


class Keeper:
    """A record keeper's home, reached without a network."""

    url = "https://records"

    def __init__(self, root: Path, builder: Path) -> None:
        self.there = False
        self._home, self._builder = Home(root), Home(builder)

    def post(self, body: bytes, timeout: float) -> Answer:
        if not self.there:
            raise Unreached("nobody there", final=True)
        for public in self._builder.keys.glob("trusted-*.pem"):
            shutil.copy(public, self._home.keys)
        self.last = read_registration(body)
        receipt = Receiver(Registry(self._home), self._home.keys).take(self.last, by="pipeline")
        return Answer(status=200, body=msgspec.json.encode(receipt))


def test_what_is_no_record_keeper_costs_no_registration(
    sound: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERINUS_REGISTRAR", "records")
    with pytest.raises(SerinusError, match="SRN-RECORDS-010"):
        sound.register(tmp_path / "home")
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
        subprocess.run([*git, *command], check=True, capture_output=True, timeout=240)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True, timeout=240
    )
    if changed:
        (tmp_path / "file").write_text("2")
    assert commit_of(tmp_path) == expected.replace("HEAD", head.stdout.strip())


def test_what_is_no_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERINUS_COMMIT", raising=False)
    assert commit_of(tmp_path) == ""
