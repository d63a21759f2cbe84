"""The model card for machines: a CycloneDX 1.6 bill of materials with ``modelCard``.

Model, data by digest and locked libraries are its components: where the lock file here is the one that the model was
made with, every library that making and serving it needs, with digests, else those whose version may change a
result. Of licences it says what the installed libraries state of themselves.
"""

from __future__ import annotations

import base64
import uuid
from typing import Any

import serinus
from serinus.papers.document import Figure
from serinus.papers.evidence import Evidence
from serinus.papers.fairness import MEASURES
from serinus.papers.libraries import installed_here
from serinus.papers.validation.origin import algorithm, decides, predicts
from serinus.papers.validation.performance import curves, reliability

FAMILIES = {
    "lightgbm": "gradient boosted decision trees",
    "gradient_boosting": "gradient boosted decision trees",
    "hist_gradient_boosting": "gradient boosted decision trees",
    "random_forest": "random forest",
    "extra_trees": "random forest",
    "logistic_regression": "generalised linear model",
}
# Names of one document: the same digest gives the same serial number.
_NAMESPACE = uuid.UUID("6f1d3f56-5a0c-5d2a-9d0a-8d2f4a3c9e11")


def to_cyclonedx(e: Evidence) -> dict[str, Any]:
    """The BOM as plain values, valid under bom-1.6.schema.json. The same evidence gives the same values."""
    data, libraries = _data(e), _libraries(e)
    tool = {"type": "application", "name": "serinus", "version": serinus.__version__}
    head: dict[str, Any] = {"tools": {"components": [tool]}, "component": _model(e)}
    if e.standing is not None and e.standing.created:
        head = {"timestamp": e.standing.created} | head
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, e.digest or e.subject)}",
        "version": 1,
        "metadata": head,
        "components": [data, *libraries],
        "dependencies": [
            {"ref": "model", "dependsOn": ["data", *(item["bom-ref"] for item in libraries)]},
        ],
    }


def _model(e: Evidence) -> dict[str, Any]:
    who = e.identity
    made: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": e.name,
        "version": str(e.version),
        "description": who.get("purpose", ""),
        "modelCard": {
            "bom-ref": "model-card",
            "modelParameters": _parameters(e),
            "quantitativeAnalysis": {"performanceMetrics": _metrics(e), "graphics": _graphics(e)},
            "considerations": _considerations(e),
            "properties": _properties(e),
        },
    }
    if e.digest:
        made["hashes"] = [{"alg": "SHA-256", "content": e.digest.removeprefix("sha256:")}]
    if e.files:
        made["components"] = [
            {
                "type": "file",
                "bom-ref": f"file:{name}",
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": sha}],
            }
            for name, (sha, _) in e.files.items()
        ]
    return made


def _parameters(e: Evidence) -> dict[str, Any]:
    name, trees = algorithm(e), e.card.get("training", {}).get("trees")
    return {
        "approach": {"type": "supervised"},
        "task": "binary classification",
        "architectureFamily": FAMILIES.get(name, name),
        "modelArchitecture": f"{name}, {trees:,} trees" if trees else name,
        "datasets": [{"ref": "data"}],
        "inputs": [
            {"format": f"{f.name}: {'category' if e.contract.is_categorical(f) else 'number'}"}
            for f in e.contract.features
        ],
        "outputs": [{"format": predicts(e)}, {"format": decides(e)}],
    }


def _metrics(e: Evidence) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for m in e.card.get("metrics", []):
        if m["value"] is not None and m["name"] != "auc_low":  # the AUC's own interval says it
            found.append(_metric(m["name"], m["value"], m.get("interval"), "test rows"))
    for p in e.challenge.get("periods", []):
        if p["auc"] is not None:
            where = f"test rows, {p['from']} to {p['to']}"
            found.append(_metric("auc", p["auc"], (p["low"], p["high"]), where))
    judged = {d.metric: (d.low, d.high) for d in e.demands}
    for s in e.challenge.get("scenarios", []):
        if s["auc"] is not None:
            interval = judged.get(f"{s['name']} AUC")
            found.append(_metric("auc", s["auc"], interval, f"scenario: {s['name']}"))
    for f in e.fairness.get("findings", []):
        if f["value"] is not None:
            where = f"{f['attribute']}: {f['group']} against {f['reference']}, n = {f['rows']}"
            found.append(_metric(f["measure"], f["value"], (f["low"], f["high"]), where))
    return found


def _metric(kind: str, value: float, interval: Any, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "value": f"{value:.6g}", "slice": where}
    if interval and interval[0] is not None and interval[1] is not None:
        found["confidenceInterval"] = {
            "lowerBound": f"{interval[0]:.6g}",
            "upperBound": f"{interval[1]:.6g}",
        }
    return found


def _graphics(e: Evidence) -> dict[str, Any]:
    figures: list[Figure] = [*curves(e), reliability(e)]
    return {
        "description": "On the test rows",
        "collection": [
            {
                "name": figure.title,
                "image": {
                    "contentType": "image/svg+xml",
                    "encoding": "base64",
                    "content": base64.b64encode(figure.svg.encode()).decode(),
                },
            }
            for figure in figures
        ],
    }


def _considerations(e: Evidence) -> dict[str, Any]:
    found: dict[str, Any] = {
        "users": [e.identity.get("owner", "not stated")],
        "useCases": [e.identity.get("purpose", "not stated")],
        "technicalLimitations": list(e.card.get("limits", [])),
    }
    training = e.card.get("training", {})
    mitigation = str(training.get("mitigation", "none"))
    left_out = str(training.get("without", "none") or "none")
    strategy = f"mitigation in training: {mitigation}; features left out: {left_out}"
    if e.contract.protected:
        names = ", ".join(p.column for p in e.contract.protected)
        found["ethicalConsiderations"] = [
            {
                "name": f"Protected attributes ({names}) are never features; decisions are judged by them",
                "mitigationStrategy": strategy,
            }
        ]
    assessed = [_assessment(f, strategy) for f in e.fairness.get("findings", [])]
    if assessed:
        found["fairnessAssessments"] = assessed
    return found


def _assessment(finding: dict[str, Any], strategy: str) -> dict[str, Any]:
    verdict = finding["verdict"]
    measure = MEASURES.get(finding["measure"], finding["measure"])
    if finding["value"] is None:
        harm = f"insufficient: {finding['why']}"
    else:
        chance = "" if finding["sure"] else ", may be chance"
        harm = (
            f"{measure}: {finding['value']:.4g} (95 %: {finding['low']:.4g} to {finding['high']:.4g}), "
            f"limit {finding['limit']:g}: {verdict}{chance}"
        )
    return {
        "groupAtRisk": f"{finding['attribute']}: {finding['group']}, n = {finding['rows']}",
        "benefits": f"compared with {finding['reference']}",
        "harms": harm,
        "mitigationStrategy": strategy,
    }


def _properties(e: Evidence) -> list[dict[str, str]]:
    code = e.provenance.get("code", {})
    policy = e.contract.fairness
    found = {
        "serinus:tier": e.identity.get("tier"),
        "serinus:contract": e.identity.get("contract"),
        "serinus:gate": e.validation.get("verdict"),
        "serinus:fairness": e.fairness.get("verdict"),
        "serinus:jurisdiction": policy.jurisdiction if policy else None,
        "serinus:inputs": e.provenance.get("inputs"),
        "serinus:code": code.get("digest") or code.get("image"),
        "serinus:lock": code.get("lock"),
        "serinus:stage": e.standing.stage if e.standing else None,
        "serinus:signed-by": e.standing.key if e.standing else None,
        "serinus:licence": "not stated in the training config",
    }
    return [{"name": name, "value": str(value)} for name, value in found.items() if value]


def _data(e: Evidence) -> dict[str, Any]:
    data, parts = e.card.get("data", {}), e.card.get("split", {}).get("parts", {})
    digest = str(data.get("digest", ""))
    period = f", {data['first']} to {data['last']}" if data.get("first") else ""
    made: dict[str, Any] = {
        "type": "data",
        "bom-ref": "data",
        "name": f"records of {e.contract.name}",
        "description": f"{data.get('rows', 0):,} records{period}",
        "data": [
            {
                "type": "dataset",
                "name": f"records of {e.contract.name}",
                "contents": {
                    "properties": [
                        {
                            "name": f"serinus:{name}",
                            "value": f"{part['rows']} rows, {part['positives']} bad outcomes",
                        }
                        for name, part in sorted(parts.items())
                    ]
                },
                "sensitiveData": [f"{p.column}, to judge fairness only" for p in e.contract.protected],
            }
        ],
    }
    if digest.startswith("sha256:"):
        made["hashes"] = [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]
    return made


def _libraries(e: Evidence) -> list[dict[str, Any]]:
    locked = e.standing.libraries if e.standing else ()
    if locked:
        return [_library(item.name, item.version, item.licence, item.files) for item in locked]
    libraries = e.provenance.get("code", {}).get("libraries", {})
    return [
        _library(name, version, _licence(name, version), ()) for name, version in sorted(libraries.items())
    ]


def _library(name: str, version: str, licence: str, files: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
    if licence:
        made["licenses"] = [{"license": {"name": licence}}]
    if len(files) == 1:
        made["hashes"] = [{"alg": "SHA-256", "content": files[0][1]}]
    if files:  # which of them was installed, the lock file does not say
        made["externalReferences"] = [
            {
                "type": "distribution",
                "url": f"{purl}?file_name={file}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
            for file, digest in files
        ]
    return made


def _licence(name: str, version: str) -> str:
    found = installed_here(name)
    return found[1] if found and found[0] == version else ""
