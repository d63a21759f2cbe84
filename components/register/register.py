"""Turning a validated model into a signed bundle and a version in the registry."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.config import Identity, parse_config
from components.step import Summary, read_contract, read_json, write_json
from components.table import TEST, VALIDATION, encode, read_features
from components.train.train import MODEL, load_calibrator, load_levels
from serinus.bundle import Bundle, BundleParts, SigningKey, build_reference, push_bundle, write_bundle
from serinus.bundle.key_facts import check_may_sign
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.papers.evidence import Evidence
from serinus.papers.html import to_html
from serinus.papers.validation import validation_report
from serinus.registry import Registry, Version
from serinus.registry.registration import registration_of
from serinus.registry.sending import Channel, channel_to, send
from serinus.registry.telling import sync, tracking_uri
from serinus.storage import open_store
from serinus.watching.online import calibrate

REFERENCE_ROWS = 5000
"""What the drift monitor's benchmarks were run with; fewer cost it power, which it takes off its own evidence."""
GOLDEN_ROWS = 32
ROOT = Path(__file__).resolve().parents[2]


def register(
    contract: Path,
    ingested: Path,
    features: Path,
    assignment: Path,
    model: Path,
    metrics: Path,
    validation: Path,
    card_html: Path,
    card: Path,
    identity: str,
    configs: dict[str, str],
    code: str,
    home: Path,
    by: str,
    run: str,
    version: Path,
    bundles: str = "",
    source: str = "",
) -> Summary:
    """Write the bundle and register it as validated.

    The bundle holds nothing of the clock, the run or the builder (the registry does),
    so the same data, contract, config, code and locked libraries give the same files.
    Where a version of these inputs exists, it is that version that is found again, and
    no second one is made.

    The reference rows and histograms are of the validation and test parts: the latest
    rows, and scored by a model that has not seen them, as it will be in service.

    The signing key is the installation's, or that of the directory ``$SERINUS_SIGNING_KEYS``
    (a mounted secret).

    Args:
        contract to card: what the steps before wrote.
        identity, configs: JSON texts of the training config's parts.
        code: JSON text: digest of the sources, versions of the libraries.
        home: the installation's directory; ``by``: who builds; ``run``: the run's name.
        version: JSON to write: name, version, digest, bundle, created, uri.
        bundles: where bundles are kept for others (``s3://…``, ``file:///…``); the bundle is put there
            under its digest, and ``uri`` is its place. Empty: it stays here, and so does ``uri``.
        source: where the records were read, for the registry; the bundle knows them by content only.

    Where ``$SERINUS_REGISTRAR`` names a record keeper, it is told of the version too, once it is registered
    here and the bundle is where others fetch it.

    Where ``$MLFLOW_TRACKING_URI`` is set, MLflow is told of the version. That it could not be is said and
    costs no registration: ``serinus registry sync``, or the next run, tells it.

    Raises:
        SerinusError: ``SRN-PIPELINE-035`` the validation has not passed; ``SRN-KEY-001``, ``-003`` or ``-004``
            the signing key; those of ``write_bundle`` and ``Registry.register``, after which nothing half-done
            is left; those of ``push_bundle`` and ``send``, after which the version is registered, and the
            next run finds it and puts it there.
    """
    report = read_json(validation)
    if report["verdict"] != "pass":
        raise SerinusError(
            "SRN-PIPELINE-035",
            f"the validation's verdict is {report['verdict']}, so there is nothing to register",
            where=str(validation),
            hint="Run the whole pipeline; its gate decides what may be registered.",
        )
    store = open_store(bundles) if bundles else None  # a wrong URI costs no registration
    keeper = channel_to()  # neither does a wrong URL, or a token that is missing
    checked, who = read_contract(contract), parse_config(identity, Identity, where="identity")
    place, data = Home(home), read_json(ingested)
    name = who.name or checked.name
    provenance = provenance_of(data, contract, identity, configs, code)
    registry = Registry(place)
    known = _same_inputs(registry, name, provenance["inputs"])
    parts = build(
        name=name,
        version=known or registry.next_version(name),
        paths=(contract, features, assignment, model),
        metrics=read_json(metrics),
        validation=report,
        provenance=provenance,
        card=read_json(card),
        card_html=card_html.read_text(encoding="utf-8"),
    )
    before = set(place.bundles.iterdir())
    bundle = write_bundle(place.bundles, parts, _signing_key(place))
    try:
        entered = registry.register(
            bundle, by=by, owner=who.owner or by, run=run, commit=commit_of(), source=_place(source)
        )
    except BaseException:
        _forget(bundle, before)
        raise
    uri = push_bundle(bundle, store).uri if store else ""
    told = _tell_keeper(keeper, bundle, entered, uri) if keeper else {}
    result = {"name": name, "version": entered.version, "digest": entered.digest, "bundle": entered.path}
    write_json(version, result | {"created": known is None, "uri": uri})
    return (
        {"version": f"{name} v{entered.version}", "digest": entered.digest[:19] + "…"}
        | ({"uri": uri} if uri else {})
        | ({"note": "same inputs as before"} if known else {})
        | told
        | _tell_mlflow(registry, name)
    )


def build(
    *,
    name: str,
    version: int,
    paths: tuple[Path, Path, Path, Path],
    metrics: dict[str, Any],
    validation: dict[str, Any],
    provenance: dict[str, Any],
    card: dict[str, Any],
    card_html: str,
) -> BundleParts:
    """Everything of a bundle, from the files of the steps (contract, features, assignment, model)."""
    from components.train.booster import load

    contract, model = read_contract(paths[0]), paths[3]
    rows, codes = read_features(contract, paths[1]), np.load(paths[2])
    levels, calibrator = load_levels(model), load_calibrator(model)
    text = (model / MODEL).read_text(encoding="utf-8")
    latest = np.flatnonzero((codes == VALIDATION) | (codes == TEST))
    encoded = encode(contract, levels, {key: values[latest] for key, values in rows.columns.items()})
    # By the library itself, not by serinus's kernel: these figures are what the kernel is held to.
    fitted = load(text)
    reference_rows = encoded[_evenly(latest.size, REFERENCE_ROWS)]
    golden_rows = encoded[_evenly(latest.size, GOLDEN_ROWS)]
    scores = calibrator.apply(fitted.probability(encoded))
    reference_scores = calibrator.apply(fitted.probability(reference_rows))
    return BundleParts(
        name=name,
        version=version,
        contract=contract,
        model_text=text,
        levels=levels,
        calibrator=calibrator,
        reference=build_reference(contract, levels, encoded, scores),
        reference_rows=reference_rows,
        reference_scores=reference_scores,
        golden_rows=golden_rows,
        golden_scores=calibrator.apply(fitted.probability(golden_rows)),
        golden_contributions=fitted.yardstick(golden_rows),
        online=calibrate(contract, levels, reference_rows, reference_scores),
        metrics=metrics,
        validation=validation,
        provenance=provenance,
        card=card,
        card_html=card_html,
        report_html=report_of(name, version, contract, metrics, validation, provenance, card),
    )


def report_of(
    name: str,
    version: int,
    contract: Contract,
    metrics: dict[str, Any],
    validation: dict[str, Any],
    provenance: dict[str, Any],
    card: dict[str, Any],
) -> str:
    """The validation report as the bundle carries it; what comes later, ``serinus report`` adds from the registry."""
    return to_html(
        validation_report(
            Evidence(
                name=name,
                version=version,
                contract=contract,
                card=card,
                metrics=metrics,
                validation=validation,
                provenance=provenance,
            )
        )
    )


def provenance_of(
    data: dict[str, Any], contract: Path, identity: str, configs: dict[str, str], code: str
) -> dict[str, Any]:
    """Where the model comes from; ``inputs`` is one digest over all of it."""
    found: dict[str, Any] = {
        "data": {key: data[key] for key in ("digest", "rows", "first", "last") if data.get(key) is not None},
        "contract": "sha256:" + hashlib.sha256(contract.read_bytes()).hexdigest(),
        "config": {"identity": json.loads(identity)}
        | {key: json.loads(text) for key, text in configs.items()},
        "code": json.loads(code),
    }
    canonical = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
    return found | {"inputs": "sha256:" + hashlib.sha256(canonical).hexdigest()}


def commit_of(root: Path = ROOT) -> str:
    """The commit that the code is of: what the image says (``$SERINUS_COMMIT``), or the checkout's, with
    ``-dirty`` where it holds more than that; empty where neither is there."""
    told = os.environ.get("SERINUS_COMMIT", "")
    if told or not (root / ".git").exists():
        return "" if told == "unknown" else told

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)

    try:
        head = git("rev-parse", "HEAD")
        dirty = head.returncode == 0 and git("diff-index", "--quiet", "HEAD", "--").returncode != 0
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return head.stdout.strip() + ("-dirty" if dirty else "")


def _place(source: str) -> str:
    """On one machine the records come by a link that names their content: what it leads to."""
    return str(Path(source).resolve()) if source and "://" not in source else source


def _tell_keeper(keeper: Channel, bundle: Bundle, entered: Version, uri: str) -> Summary:
    receipt = send(registration_of(bundle, entered, uri), keeper)
    if receipt.differs:
        what = ", ".join(receipt.differs)
        sys.stderr.write(
            f"serinus: the record keeper knew this version, with another {what}; what it has stands\n"
        )
    return {"record keeper": "entered" if receipt.created else "knew it"}


def _tell_mlflow(registry: Registry, name: str) -> Summary:
    uri = tracking_uri()
    if not uri:
        return {}
    left = [state for state in sync(registry, uri, [name]) if not state.current]
    if not left:
        return {"MLflow": "told"}
    sys.stderr.write(f"serinus: {left[0].error}\n")
    return {"MLflow": f"NOT told of {len(left)} (serinus registry sync)"}


def _signing_key(place: Home) -> SigningKey:
    mounted = os.environ.get("SERINUS_SIGNING_KEYS")
    if not mounted:
        return SigningKey.load_or_create(place.keys)
    key = SigningKey.load(Path(mounted))
    check_may_sign(place.keys, key.id, time.time())  # retired here, and the Secret not yet replaced
    return key


def _same_inputs(registry: Registry, name: str, inputs: str) -> int | None:
    """The version that was made of the same inputs, if its bundle can still be read."""
    for version in reversed(registry.versions(name)):
        try:
            if read_json(Path(version.path) / "provenance.json").get("inputs") == inputs:
                return version.version
        except (OSError, ValueError):
            continue
    return None


def _evenly(total: int, wanted: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, total - 1, min(total, wanted)).round().astype(np.int64))


def _forget(bundle: Bundle, before: set[Path]) -> None:
    """Remove a bundle that this call wrote; a bundle that lay there before stays."""
    if bundle.path not in before:
        shutil.rmtree(bundle.path, ignore_errors=True)
