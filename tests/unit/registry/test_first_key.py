"""The first key of an installation is made whole and trusted, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serinus.bundle import Keyring, SigningKey
from serinus.errors import SerinusError


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_first_key_that_is_broken_off_is_made_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, step, fail)
        with pytest.raises((OSError, SerinusError)):
            SigningKey.load_or_create(tmp_path)
    assert not list(tmp_path.glob("*signing.pem*"))
    key = SigningKey.load_or_create(tmp_path)
    assert key.id in Keyring.load(tmp_path).keys


def test_a_first_run_that_is_killed_leaves_no_key_that_nobody_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    write = SigningKey.write

    def killed(key: SigningKey, path: Path) -> None:
        write(key, path)
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(SigningKey, "write", killed)
        with pytest.raises(Killed):
            SigningKey.load_or_create(tmp_path)
    assert SigningKey.load_or_create(tmp_path).id in Keyring.load(tmp_path).keys


def test_of_two_first_runs_at_once_one_key_is_made_and_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SigningKey.write

    def late(key: SigningKey, path: Path) -> None:
        monkeypatch.setattr(SigningKey, "write", write)
        SigningKey.load_or_create(tmp_path)
        write(key, path)

    monkeypatch.setattr(SigningKey, "write", late)
    key = SigningKey.load_or_create(tmp_path)
    assert set(Keyring.load(tmp_path).keys) == {key.id}
