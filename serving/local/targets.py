"""From what a person names (a version, ``champion``, a path) to a verified bundle and a predictor's name."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from serinus.bundle import Bundle, Keyring, open_bundle
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.following import serving

from .predictors import Target


def resolve(home: Home, reference: str | Path | Bundle, model: str | None = None) -> Target:
    """The bundle that ``reference`` means, verified by hash and signature.

    A reference is an opened bundle, a directory, or a registered version: a
    number, ``champion`` or ``latest``, or ``MODEL/VERSION``.

    Raises:
        SerinusError: SRN-BUNDLE-… if it does not verify, SRN-REGISTRY-002 if
            there is no such version, SRN-PLATFORM-007 if the model is not named
            and there are several.
    """
    if isinstance(reference, Bundle):
        return _target(home, reference)
    path = Path(reference)
    if path.is_dir():
        return _target(home, open_bundle(path, trusted=Keyring.load(home.keys)))
    named, _, version = str(reference).rpartition("/")
    if named or model:
        model = named or model
    registry = Registry(home)
    model = model or _only_model(registry)
    found = registry.get(model, version)
    return _target(home, registry.bundle(found))


def first(home: Home, model: str | None) -> Target:
    """The registry's champion. Raises as ``resolve``; where there is none yet, with how the first one comes to be."""
    try:
        return resolve(home, "champion", model)
    except SerinusError as error:
        model = model or _only_model(Registry(home))
        versions = Registry(home).versions(model)
        if error.code != "SRN-REGISTRY-002" or not versions:
            raise
        raise SerinusError(
            error.code,
            error.what,
            where=error.where,
            hint=f"{error.hint} The first one is put before clients by name, for example serinus up "
            f"{model}/{versions[-1].version}; later ones by rollouts.",
        ) from error


def tell_by_hand(home: Home, target: Target, *, by: str) -> None:
    """Record that somebody put a bundle before clients without a rollout, and which words it lacks.

    The first version has no rollout to go through, and nobody may be kept from going back to an
    older one at night; so this is not refused, but it is never silent.

    Raises:
        SerinusError: ``SRN-AUDIT-002`` it cannot be recorded, so it must not happen.
    """
    registry = Registry(home)
    known = [v for v in registry.versions(target.model) if v.digest == target.digest]
    missing = [
        role for version in known for role in registry.standing(version.model, version.version).missing
    ]
    lacks = f"; still missing at its tier: {', '.join(missing)}" if missing else ""
    how = "by hand, without a rollout" if known else "by hand, from a bundle that is not registered here"
    registry.audit.append(
        actor=by,
        action="serve",
        subject=f"{target.model}/{target.version}",
        reason=how + lacks,
        details={"digest": target.digest, "registered": bool(known), "missing": missing},
    )


def note_served(home: Home, target: Target, *, by: str) -> list[str]:
    """Let the registry have a version that answers clients, served by hand, as its model's champion, if it has none.

    What answers customers is to be reviewed, and compared with by the next candidate, however it came there.
    An older version beside a champion is left as it is: the registry says who was promoted, the log who serves.

    Returns:
        What the registry refused; empty if nothing.
    """
    if not target.registered:
        return []
    place = (target.model, target.version)
    return serving(Registry(home), place, by=by, why="serves by hand, without a rollout")


def distinct(target: Target, others: tuple[Target, ...]) -> Target:
    """The target under a predictor name that none of the others has."""
    if all(other.name != target.name for other in others):
        return target
    return replace(target, name=f"{target.name}-{target.digest.removeprefix('sha256:')[:6]}")


def _target(home: Home, bundle: Bundle) -> Target:
    versions = Registry(home).versions(bundle.name)
    return Target(
        name=f"v{bundle.version}",
        model=bundle.name,
        bundle=str(bundle.path),
        version=bundle.version,
        digest=bundle.digest,
        registered=any(version.digest == bundle.digest for version in versions),
    )


def _only_model(registry: Registry) -> str:
    models = registry.models()
    if len(models) == 1:
        return models[0]
    raise SerinusError(
        "SRN-PLATFORM-007",
        "no model is named" if models else "no model is registered here",
        where="registry",
        hint=f"Name one with --model: {', '.join(models)}."
        if models
        else "Train one first (serinus demo, serinus pipeline run), or serve a bundle with --bundle DIR.",
    )
