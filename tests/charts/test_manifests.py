"""The kustomize manifests are the charts, said otherwise."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from .support import FRAUD, ROOT, Obj, manifests

TOOLS = ("kubectl",)


def kustomize(overlay: str) -> list[Obj]:
    """What kubectl makes of a directory."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "manifests" / overlay)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def test_the_base_is_what_would_be_written() -> None:
    made = manifests.files()
    assert {path: path.read_text(encoding="utf-8") for path in made} == made


@pytest.mark.parametrize("overlay", ["kind", "production", "recorded"])
def test_an_overlay_is_the_chart_with_its_values(overlay: str) -> None:
    values = ROOT / "manifests/overlays" / overlay
    wanted = [
        *manifests.render(
            "serinus", "serinus", "serinus-system", values / "platform-values.yaml", operator=False
        ),
        *manifests.render("serinus-model", "fraud", "models", FRAUD, values / "model-values.yaml"),
    ]
    found = [object_ for object_ in kustomize(f"overlays/{overlay}") if object_["kind"] != "Namespace"]
    assert _comparable(found) == _comparable(wanted)


def _comparable(objects: list[Obj]) -> dict[tuple[str, str, str], Obj]:
    made: dict[tuple[str, str, str], Obj] = {}
    plain: list[Obj] = manifests.plain(objects)
    for found in plain:
        meta: dict[str, str] = found["metadata"]
        kind: str = found["kind"]
        # What the controller's types make is the same in both, but for the chart's labels.
        bare = kind in manifests.GENERATED_ELSEWHERE
        made[kind, meta.get("namespace", ""), meta["name"]] = (
            {**found, "metadata": {"name": meta["name"]}} if bare else found
        )
    assert len(made) == len(objects)
    return made


def test_both_namespaces_are_held_to_restricted_pod_security() -> None:
    spaces = [found for found in kustomize("overlays/production") if found["kind"] == "Namespace"]
    assert [space["metadata"]["name"] for space in spaces] == ["models", "serinus-system"]
    for space in spaces:
        assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
