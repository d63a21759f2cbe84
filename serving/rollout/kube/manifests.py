"""Writes what the cluster is told of us into the chart and the manifests.

python -m serving.rollout.kube.manifests --write    # after a change of a type, rule or policy
python -m serving.rollout.kube.manifests --check    # exit code 1 if a file is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from serinus.access import built_in
from serinus.access.kubernetes import user_roles

from .crd import definitions
from .policy import policies
from .rbac import LEASE_RULES, RULES, rules

ROOT = Path(__file__).parents[3]
HEADER = "# Written by `python -m serving.rollout.kube.manifests --write`; change the types, not this file.\n"


def files() -> dict[str, str]:
    """Path below the repository's root → text."""
    found: dict[str, str] = {}
    for document in definitions():
        text = _text(document)
        name = f"{document['metadata']['name']}.yaml"
        found[f"charts/serinus/files/crds/{name}"] = text
        found[f"manifests/base/crds/{name}"] = text
    found["charts/serinus/files/rollout-policies.yaml"] = _text(*policies())
    found["charts/serinus/files/rollout-rules.yaml"] = _text(rules(RULES))
    roles = msgspec.to_builtins(user_roles(built_in()))
    found["charts/serinus/files/user-roles.yaml"] = _text({"roles": roles})
    found["charts/serinus/files/rollout-lease-rules.yaml"] = _text(rules(LEASE_RULES))
    found["manifests/base/policies/rollout-identity.yaml"] = _text(*policies())
    return found


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # anchors are YAML that people and some tools stumble over


def _text(*documents: Any) -> str:
    return HEADER + yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=10_000)


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(prog="python -m serving.rollout.kube.manifests", description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", action="store_true", help="write the files")
    group.add_argument("--check", action="store_true", help="name the files that differ")
    arguments = parser.parse_args()
    stale = [n for n, text in files().items() if not (p := ROOT / n).exists() or p.read_text() != text]
    for name in stale:
        if arguments.write:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(files()[name], encoding="utf-8")
        sys.stdout.write(f"{'wrote' if arguments.write else 'differs'} {name}\n")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
