"""A bundle arrives as it left, proved, or there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from serinus.bundle import Bundle, Fetched, Keyring, SigningKey, fetch_bundle, open_bundle, push_bundle
from serinus.bundle.manifest import MANIFEST, SIGNATURE, FileEntry, Manifest
from serinus.errors import SerinusError
from serinus.storage import Budget, MemoryStore
from tests.support.bundles import small_bundle, small_home
from tests.unit.storage.stores import Clock, LossyStore


class Below(LossyStore):
    """The bundle's own directory in a store of bundles."""

    def __init__(self, whole: MemoryStore, bundle: Bundle, *losses: int) -> None:
        super().__init__(*losses)
        prefix = bundle.digest.removeprefix("sha256:") + "/"
        self.objects = {k.removeprefix(prefix): v for k, v in whole.objects.items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Keyring]:
    place = tmp_path_factory.mktemp("made")
    return small_bundle(place), Keyring.load(small_home(place).keys)


def pushed(bundle: Bundle) -> MemoryStore:
    store = MemoryStore()
    push_bundle(bundle, store)
    return store


def fetch(store: MemoryStore, target: Path, trusted: Keyring | None, digest: str | None) -> Fetched:
    clock = Clock()
    return fetch_bundle(
        store, target, trusted=trusted, digest=digest, budget=Budget(600, 1 << 24, clock, clock.sleep)
    )


def test_what_was_pushed_is_what_is_fetched(made: tuple[Bundle, Keyring], tmp_path: Path) -> None:
    bundle, trusted = made
    found = fetch(Below(pushed(bundle), bundle), tmp_path / "b", trusted, bundle.digest)
    assert found.bundle.digest == bundle.digest
    assert open_bundle(tmp_path / "b", trusted=trusted).model_text == bundle.model_text
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == sorted(p.name for p in bundle.path.iterdir())


def test_a_digest_alone_is_enough_to_believe_a_bundle_and_neither_is_not(
    made: tuple[Bundle, Keyring], tmp_path: Path
) -> None:
    bundle, _ = made
    assert (
        fetch(Below(pushed(bundle), bundle), tmp_path / "b", None, bundle.digest).bundle.digest
        == bundle.digest
    )
    damaged = Below(pushed(bundle), bundle)
    _alter(damaged, bundle)
    with pytest.raises(SerinusError):
        fetch(damaged, tmp_path / "c", None, bundle.digest)
    with pytest.raises(ValueError, match="neither was given"):
        fetch(Below(pushed(bundle), bundle), tmp_path / "d", None, None)


def test_pushing_again_changes_nothing_and_the_manifest_goes_last(made: tuple[Bundle, Keyring]) -> None:
    bundle, _ = made
    order: list[str] = []

    class Store(MemoryStore):
        def write(self, name: str, data: bytes | Path) -> None:
            order.append(name.partition("/")[2])
            super().write(name, data)

    store = Store()
    first = push_bundle(bundle, store)
    assert first.uri == f"memory://store/{bundle.digest.removeprefix('sha256:')}"
    assert first.created
    assert order[-1] == MANIFEST
    before, count = dict(store.objects), len(order)
    assert not push_bundle(bundle, store).created
    assert (store.objects, len(order)) == (before, count)


def test_a_push_that_broke_off_is_completed(made: tuple[Bundle, Keyring]) -> None:
    bundle, _ = made
    store = pushed(bundle)
    whole = dict(store.objects)
    lost = next(name for name in store.objects if name.endswith("model.txt"))
    del store.objects[lost]
    assert push_bundle(bundle, store).created
    assert store.objects == whole


def test_the_same_bundle_signed_by_another_is_not_overwritten(
    made: tuple[Bundle, Keyring], tmp_path: Path
) -> None:
    bundle, _ = made
    store = pushed(bundle)
    before = dict(store.objects)
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    other = SigningKey.load_or_create(tmp_path / "other")
    (copy / SIGNATURE).chmod(0o644)
    (copy / SIGNATURE).write_bytes(msgspec.json.encode(other.sign(bundle.digest)))
    with pytest.raises(SerinusError, match="SRN-BUNDLE-007"):
        push_bundle(open_bundle(copy, trusted=None), store)
    assert store.objects == before


def _drop(name: str) -> Callable[[Below, Bundle], None]:
    def harm(store: Below, _: Bundle) -> None:
        del store.objects[name]

    return harm


def _alter(store: Below, _: Bundle) -> None:
    store.objects["model.txt"] = store.objects["model.txt"][:-1] + b"?"


def _lengthen(store: Below, _: Bundle) -> None:
    store.objects["model.txt"] += b"?"


def _forge(store: Below, bundle: Bundle) -> None:
    """Another model under the old signature."""
    files = dict(bundle.manifest.files) | {"model.txt": FileEntry("0" * 64, 3)}
    store.objects[MANIFEST] = msgspec.structs.replace(bundle.manifest, files=files).canonical()


def _garble(store: Below, _: Bundle) -> None:
    store.objects[MANIFEST] = b"{}"


@pytest.mark.parametrize(
    ("harm", "by_digest", "code"),
    [
        (_drop(MANIFEST), True, "SRN-BUNDLE-001"),
        (_drop(SIGNATURE), True, "SRN-BUNDLE-004"),
        (_drop("model.txt"), True, "SRN-STORE-002"),
        (_alter, True, "SRN-STORE-006"),
        (_lengthen, True, "SRN-STORE-006"),
        (_forge, True, "SRN-BUNDLE-008"),
        (_forge, False, "SRN-BUNDLE-006"),
        (_garble, True, "SRN-BUNDLE-008"),
        (_garble, False, "SRN-BUNDLE-002"),
    ],
)
def test_an_altered_bundle_leaves_none_behind(
    made: tuple[Bundle, Keyring],
    tmp_path: Path,
    harm: Callable[[Below, Bundle], None],
    by_digest: bool,
    code: str,
) -> None:
    bundle, trusted = made
    store = Below(pushed(bundle), bundle)
    harm(store, bundle)
    with pytest.raises(SerinusError) as caught:
        fetch(store, tmp_path / "b", trusted, bundle.digest if by_digest else None)
    assert caught.value.code == code
    assert not (tmp_path / "b" / MANIFEST).exists()
    assert not (tmp_path / "b" / "model.txt").exists()


@pytest.mark.parametrize("name", ["../model.txt", "a/b", ".hidden", "manifest.json", "", "x" * 200])
def test_a_signed_manifest_cannot_lead_out_of_the_directory(tmp_path: Path, name: str) -> None:
    key = SigningKey.load_or_create(tmp_path / "keys")
    manifest = Manifest(name="evil", version=1, files={name: FileEntry("0" * 64, 1)})
    store = MemoryStore()
    store.objects = {
        MANIFEST: manifest.canonical(),
        SIGNATURE: msgspec.json.encode(key.sign(manifest.digest())),
        "../model.txt": b"x",
    }
    with pytest.raises(SerinusError, match="SRN-BUNDLE-010"):
        fetch(store, tmp_path / "in" / "b", Keyring.load(tmp_path / "keys"), None)
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["b"]


def test_a_signer_who_is_not_trusted_is_refused_before_the_model_is_asked_for(
    made: tuple[Bundle, Keyring], tmp_path: Path
) -> None:
    bundle, _ = made
    store = Below(pushed(bundle), bundle)
    with pytest.raises(SerinusError, match="SRN-BUNDLE-005"):
        fetch(store, tmp_path / "b", Keyring({}), bundle.digest)
    assert {name for name, _ in store.asked} == {MANIFEST, SIGNATURE}


def test_losses_on_the_way_are_made_up_for(made: tuple[Bundle, Keyring], tmp_path: Path) -> None:
    bundle, trusted = made
    store = Below(pushed(bundle), bundle, 10, 0, 100, 0, 50, 7)
    fetch(store, tmp_path / "b", trusted, bundle.digest)
    assert open_bundle(tmp_path / "b", trusted=trusted).digest == bundle.digest


def test_a_try_that_was_killed_is_taken_up(made: tuple[Bundle, Keyring], tmp_path: Path) -> None:
    bundle, trusted = made
    store = Below(pushed(bundle), bundle)
    size = bundle.manifest.files["model.txt"].size
    partial = tmp_path / "b" / ".fetching"
    partial.mkdir(parents=True)
    (partial / "model.txt").write_bytes(store.objects["model.txt"][:1000])
    shutil.copy(bundle.path / "card.json", tmp_path / "b" / "card.json")  # it was moving its files
    found = fetch(store, tmp_path / "b", trusted, bundle.digest)
    assert ("model.txt", 1000) in store.asked
    assert "card.json" not in {name for name, _ in store.asked}
    assert found.received < size + sum(len(v) for k, v in store.objects.items() if k != "model.txt")
    assert open_bundle(tmp_path / "b", trusted=trusted).digest == bundle.digest


def test_a_bundle_that_is_here_is_proved_again_and_not_asked_for(
    made: tuple[Bundle, Keyring], tmp_path: Path
) -> None:
    bundle, trusted = made
    store = Below(pushed(bundle), bundle)
    fetch(store, tmp_path / "b", trusted, bundle.digest)
    (tmp_path / "b" / ".fetching").mkdir()  # killed between its last two steps
    store.asked.clear()
    assert fetch(store, tmp_path / "b", trusted, bundle.digest).received == 0
    assert store.asked == []
    with pytest.raises(SerinusError, match="SRN-BUNDLE-009"):
        fetch(store, tmp_path / "b", trusted, "sha256:" + "0" * 64)
    with pytest.raises(SerinusError, match="SRN-BUNDLE-005"):
        fetch(store, tmp_path / "b", Keyring({}), bundle.digest)


def test_nothing_of_others_is_touched(made: tuple[Bundle, Keyring], tmp_path: Path) -> None:
    bundle, trusted = made
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "precious").write_text("mine")
    with pytest.raises(SerinusError, match="SRN-BUNDLE-009"):
        fetch(Below(pushed(bundle), bundle), tmp_path / "b", trusted, bundle.digest)
    assert (tmp_path / "b" / "precious").read_text() == "mine"
    assert not (tmp_path / "b" / MANIFEST).exists()


@pytest.mark.parametrize("digest", ["", "sha256:12", "9f" * 32, "sha256:" + "G" * 64])
def test_what_is_no_digest_is_refused(made: tuple[Bundle, Keyring], tmp_path: Path, digest: str) -> None:
    with pytest.raises(SerinusError, match="SRN-BUNDLE-008"):
        fetch(MemoryStore(), tmp_path, made[1], digest)


def test_an_unwritable_place_is_named(made: tuple[Bundle, Keyring], tmp_path: Path) -> None:
    bundle, trusted = made
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SerinusError, match="SRN-HOME-002"):
        fetch(Below(pushed(bundle), bundle), tmp_path / "file", trusted, bundle.digest)
