"""Writes the kustomize base in ``manifests/`` from the charts, so that there is one source of both.

python charts/manifests.py --write     # after a change of a chart; needs helm
python charts/manifests.py --check     # exit code 1 if a file is not what would be written

CRDs and policies, which the controller's types make, and the kustomizations, which people write, are not touched.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
HEADER = "# Written by `python charts/manifests.py --write`; change the chart, not this file.\n"
KUBE_VERSION = "1.34.0"
OPERATOR = "monitoring.coreos.com/v1"
# Helm's own marks, which would be untrue of what kubectl applies.
_MARKS = {"helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy"}
# Made by `python -m serving.rollout.kube.manifests`, which writes them below manifests/base itself.
GENERATED_ELSEWHERE = {
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
Obj = dict[str, Any]


def render(
    chart: str,
    release: str,
    namespace: str,
    *values: Path,
    sets: tuple[str, ...] = (),
    operator: bool = False,
) -> list[Obj]:
    """What ``helm template`` makes of a chart.

    Args:
        values: files of values.
        sets: ``name=value`` as for ``--set``.
        operator: whether the API server is said to know the Prometheus operator's kinds.

    Raises:
        RuntimeError: helm refused, with its own words.
    """
    command = [
        *("helm", "template", release, str(ROOT / "charts" / chart), "--namespace", namespace),
        *("--kube-version", KUBE_VERSION),
        *(argument for path in values for argument in ("--values", str(path))),
        *(argument for one in sets for argument in ("--set", one)),
        *(("--api-versions", OPERATOR) if operator else ()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def plain(node: Any) -> Any:
    """The same without what only Helm would say."""
    if isinstance(node, list):
        return [plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: plain(value) for key, value in node.items() if key not in _MARKS}
    # Seldon's pods are chosen by this very label, which is Seldon's and not Helm's.
    if node.get("app.kubernetes.io/managed-by") == "seldon-core":
        kept["app.kubernetes.io/managed-by"] = "seldon-core"
    if kept.get("annotations") == {}:
        del kept["annotations"]
    return kept


def ordered(objects: list[Obj]) -> list[Obj]:
    """By kind and name, since Helm's order is by what must be there first."""
    return sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))


def files() -> dict[Path, str]:
    """Path → text of everything that is made."""
    platform = ordered(render("serinus", "serinus", "serinus-system", operator=True))
    monitoring = [one for one in platform if one["apiVersion"] == OPERATOR]
    rest = [one for one in platform if one not in monitoring and one["kind"] not in GENERATED_ELSEWHERE]
    asked = ("enabled=true", "versions.enabled=true", "versions.callers={kubeflow/pipeline-runner}")
    asked += ("versions.keys=signers", "versions.tlsSecret=records-tls")
    sets = tuple(f"records.{one}" for one in asked)
    with_records = ordered(render("serinus", "serinus", "serinus-system", sets=sets, operator=True))
    records = [one for one in with_records if one not in platform]
    scraped = [one for one in records if one["apiVersion"] == OPERATOR]
    kept = [one for one in records if one not in scraped]
    fraud = ROOT / "charts/serinus-model/ci/fraud-values.yaml"
    model = ordered(render("serinus-model", "fraud", "models", fraud))
    watching = ("monitor.enabled=true", "outcomes.enabled=true", "decisions.existingClaim=fraud-decisions")
    watched = ordered(render("serinus-model", "fraud", "models", fraud, sets=watching))
    return {
        ROOT / "manifests/watched-model/model.yaml": _text(watched),
        ROOT / "manifests/base/platform.yaml": _text(rest),
        ROOT / "manifests/components/monitoring/monitoring.yaml": _text(monitoring),
        ROOT / "manifests/components/records/records.yaml": _text(kept),
        ROOT / "manifests/components/records-monitoring/monitoring.yaml": _text(scraped),
        ROOT / "manifests/model/model.yaml": _text(model),
    }


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # anchors are YAML that people and some tools stumble over


def _literal(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _literal)


def _text(objects: list[Obj]) -> str:
    return HEADER + yaml.dump_all(plain(objects), Dumper=_Plain, sort_keys=False, width=10_000)


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(prog="python charts/manifests.py", description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", action="store_true", help="write the files")
    group.add_argument("--check", action="store_true", help="name the files that differ")
    arguments = parser.parse_args()
    if shutil.which("helm") is None:
        sys.stderr.write("helm is not on the PATH; `make chart-tools` builds it into .tools/charts\n")
        return 2
    made = files()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if arguments.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        sys.stdout.write(f"{'wrote' if arguments.write else 'differs'} {path.relative_to(ROOT)}\n")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
