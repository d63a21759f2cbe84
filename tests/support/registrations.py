"""A version that was registered in one home, as it is told to another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from serinus.bundle import Bundle, SigningKey, write_bundle
from serinus.home import Home
from serinus.registry import Registry, Version
from serinus.registry.registration import Registration, registration_of
from tests.support.bundles import small_parts

IDENTITY = {"owner": "cards", "purpose": "Ranks payments by the risk of fraud.", "tier": 2}
PROVENANCE: dict[str, Any] = {
    "data": {"digest": "sha256:" + "d1" * 32, "rows": 2000, "first": "2018-01-01", "last": "2018-06-30"},
    "contract": "sha256:" + "c0" * 32,
    "config": {"identity": IDENTITY},
    "code": {"digest": "sha256:" + "0c" * 32, "lock": "sha256:" + "10" * 32},
    "inputs": "sha256:" + "11" * 32,
}


def passed_bundle(
    home: Home, *, version: int = 1, seed: int = 7, verdict: str | None = "pass", **identity: Any
) -> Bundle:
    """A bundle of the home's key whose validation says ``verdict``."""
    parts = replace(
        small_parts(seed=seed, version=version),
        validation={} if verdict is None else {"verdict": verdict},
        provenance=PROVENANCE | {"config": {"identity": IDENTITY | identity}},
    )
    return write_bundle(home.bundles, parts, SigningKey.load_or_create(home.keys))


def registered(home: Home, bundle: Bundle, *, by: str = "ann", run: str = "r-1") -> Version:
    """The same, registered as the pipeline does."""
    return Registry(home).register(
        bundle, by=by, owner="cards", run=run, commit="c" * 40, source="s3://records/tx.csv"
    )


def registration(home: Home, uri: str = "s3://models/bundles/x", **given: Any) -> Registration:
    """What is told of a version that is built and registered in a home now."""
    bundle = passed_bundle(home, **given)
    return registration_of(bundle, registered(home, bundle), uri)


def trusting(directory: Path, *signers: Home) -> Home:
    """A home that trusts the keys of others."""
    home = Home(directory)
    for signer in signers:
        for public in signer.keys.glob("trusted-*.pem"):
            (home.keys / public.name).write_bytes(public.read_bytes())
    return home
