"""A SeldonDeployment's predictors: who serves, how a candidate enters, how traffic is split. Pure.

Seldon's operator rewrites routes only when every predictor is ready, and
checks no weights without its webhook; hence a candidate does not stay at 0 %, it
is removed, and what is written here always sums to 100.
"""

from __future__ import annotations

import copy
from typing import Any

from serinus.errors import SerinusError

from ..status import Routes
from .resource import BundleRef, Candidate

Predictor = dict[str, Any]

BUNDLE_URI = "SERINUS_BUNDLE_URI"
BUNDLE_DIGEST = "SERINUS_BUNDLE_DIGEST"


def predictors(deployment: dict[str, Any]) -> list[Predictor]:
    """The predictors of a SeldonDeployment."""
    return list((deployment.get("spec") or {}).get("predictors") or [])


def named(found: list[Predictor], name: str) -> Predictor | None:
    """The predictor of that name."""
    return next((p for p in found if p.get("name") == name), None)


def champion_of(deployment: dict[str, Any], candidate: str) -> Predictor:
    """The one predictor that answers clients.

    Raises:
        SerinusError: SRN-ROLLOUT-003 if there is none, or several, or it is the candidate.
    """
    name = deployment["metadata"]["name"]
    live = [p for p in predictors(deployment) if not p.get("shadow")]
    if any(p.get("name") == candidate for p in predictors(deployment)):
        raise _unfit(
            f"predictor {candidate} is in the SeldonDeployment already",
            name,
            "If it serves, the candidate is the champion: nothing is to be rolled out. Else remove it.",
        )
    if len(live) != 1:
        what = ", ".join(f"{p.get('name')} {p.get('traffic', 0)} %" for p in live) or "no predictor"
        raise _unfit(f"one predictor must have all traffic, found {what}", name, "Leave one, the champion.")
    return live[0]


def _unfit(what: str, name: str, hint: str) -> SerinusError:
    return SerinusError("SRN-ROLLOUT-003", what, where=f"seldondeployment/{name}", hint=hint)


def candidate_predictor(target: str, champion: Predictor, candidate: Candidate) -> Predictor:
    """The candidate as a predictor without traffic, with as many replicas as the champion has.

    A bundle is served by a copy of the champion's predictor: the same images and
    resources, another bundle. The name of the Deployment is pinned, so that a
    container more or less does not rename it.

    Raises:
        SerinusError: SRN-ROLLOUT-003 if the champion's predictor fetches no bundle.
    """
    if candidate.bundle is not None:
        made = _with_bundle(target, champion, candidate.name, candidate.bundle)
    else:
        made = copy.deepcopy(candidate.predictor or {})
    replicas = candidate.replicas or champion.get("replicas")
    if replicas is not None:
        made["replicas"] = replicas
    made["traffic"] = 0
    made.pop("shadow", None)
    return made


def _with_bundle(target: str, champion: Predictor, name: str, bundle: BundleRef) -> Predictor:
    made = copy.deepcopy(champion)
    made["name"] = name
    made.setdefault("labels", {})["version"] = name
    made.setdefault("annotations", {})["version"] = name
    made["annotations"].pop("seldon.io/svc-name", None)  # a Service of its own
    found = False
    for index, component in enumerate(made.get("componentSpecs") or []):
        suffix = f"-{index}" if index else ""
        component.setdefault("metadata", {})["name"] = f"{target}-{name}{suffix}"
        spec = component.get("spec") or {}
        for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
            for variable in container.get("env") or []:
                value = {BUNDLE_URI: bundle.uri, BUNDLE_DIGEST: bundle.digest}.get(variable["name"])
                if value is not None:
                    variable.pop("valueFrom", None)
                    variable["value"] = value
                    found = True
    if not found:
        raise _unfit(
            f"predictor {champion['name']} has no container with {BUNDLE_URI}, so no bundle can take its place",
            target,
            "Give candidate.predictor, or serve the champion from a bundle (charts/serinus-model does).",
        )
    return made


def routed(
    found: list[Predictor],
    routes: Routes,
    *,
    champion: Predictor,
    candidate: str,
    removing: bool,
    unready: frozenset[str] = frozenset(),
) -> list[Predictor]:
    """The predictors with which the live routes would equal ``routes``.

    * Back to the champion: the candidate has nothing, and with ``removing`` is
      **removed**. At 0 % a candidate that is not ready would keep the routes as they are.
    * On to the candidate: the former champion stays at 0 %, to be rolled back to;
      one that is not ready is removed, for the same reason.
    * A champion that someone took out comes back as it was.
    * Other predictors get nothing, and one that is not ready is removed: we cannot
      vouch for a split with strangers in it. Shadows of others are left alone.
    """
    made = [copy.deepcopy(p) for p in found]
    home = str(champion["name"])
    if routes.stable == home and named(made, home) is None:
        made.insert(0, copy.deepcopy(champion))
    kept: list[Predictor] = []
    for predictor in made:
        name = str(predictor.get("name"))
        if name not in (home, candidate):
            if predictor.get("shadow"):
                kept.append(predictor)
            elif name not in unready:
                kept.append(predictor | {"traffic": 0})
            continue
        if name == candidate and routes.stable != candidate:
            if routes.canary != candidate:
                if not removing:
                    kept.append(predictor if predictor.get("shadow") else predictor | {"traffic": 0})
                continue
            predictor["traffic"] = routes.weight
            predictor.pop("shadow", None)
            if routes.shadow:
                predictor["shadow"] = True
        elif name == routes.stable:
            predictor["traffic"] = 100 if routes.canary is None or routes.shadow else 100 - routes.weight
            predictor.pop("shadow", None)
        else:  # the former champion, standing by
            if name in unready:
                continue
            predictor["traffic"] = 0
        kept.append(predictor)
    check_traffic(kept)
    return kept


def check_traffic(found: list[Predictor]) -> None:
    """What Seldon's webhook would refuse, where it is not installed.

    Raises:
        SerinusError: SRN-ROLLOUT-003.
    """
    live = [p for p in found if not p.get("shadow")]
    total = sum(int(p.get("traffic") or 0) for p in live)
    names = [str(p.get("name")) for p in found]
    problem = None
    if total != 100:
        problem = (
            f"traffic of {', '.join(str(p.get('name')) for p in live) or 'nobody'} sums to {total}, not 100"
        )
    elif len(found) - len(live) > 1:
        problem = "there would be more than one shadow"
    elif len(set(names)) != len(names):
        problem = f"predictor names repeat: {names}"
    if problem:
        raise SerinusError(
            "SRN-ROLLOUT-003",
            problem,
            where="spec.predictors",
            hint="Someone edited the SeldonDeployment; remove what does not belong there.",
        )


def without(found: list[Predictor], name: str) -> list[Predictor]:
    """The predictors without one that has lost its traffic; a single one left gets everything."""
    kept = [copy.deepcopy(p) for p in found if p.get("name") != name]
    live = [p for p in kept if not p.get("shadow")]
    if len(live) == 1:
        live[0]["traffic"] = 100
    return kept


def edited(
    found: list[Predictor], routes: Routes, *, champion: str, candidate: str, removing: bool
) -> str | None:
    """How the predictors differ from what ``routes`` asks for, or None.

    A candidate that is to go (``removing``) may still be there, without traffic: it has
    lost its requests, and is stopped once that has reached every proxy.
    """
    for predictor in found:
        name, traffic = str(predictor.get("name")), int(predictor.get("traffic") or 0)
        shadow = bool(predictor.get("shadow"))
        if name == candidate and removing and shadow:
            return f"predictor {name} is a shadow"
        if name == candidate and routes.canary == candidate:
            wanted = routes.weight
            if shadow != routes.shadow:
                return f"predictor {name} is {'a' if shadow else 'no'} shadow"
        elif name == routes.stable:
            wanted = 100 if routes.canary is None or routes.shadow else 100 - routes.weight
            if len(found) == 1 and predictor.get("traffic") is None:
                traffic = 100  # Seldon's rule for a predictor alone
        elif shadow:
            continue
        else:
            wanted = 0
        if traffic != wanted:
            return f"predictor {name} has traffic {traffic}, not {wanted}"
    missing = {routes.stable, routes.canary} - {None} - {str(p.get("name")) for p in found}
    return f"predictor {', '.join(sorted(str(n) for n in missing))} is gone" if missing else None
