"""MLflow is told of what it does not know yet; that it was away loses nothing and stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.bundle import SigningKey, write_bundle
from serinus.registry import Registry
from serinus.registry.catalogue import MemoryCatalogue, figures, parameters
from serinus.registry.telling import pending, sync
from tests.support.bundles import small_home, small_parts

URI = "http://mlflow.example"


class Desk:
    def __init__(self, path: Path) -> None:
        self.home = small_home(path)
        self.registry = Registry(self.home, clock=lambda: 0.0)
        self.catalogue = MemoryCatalogue()

    def register(self, version: int) -> None:
        parts = small_parts(version=version)
        parts.provenance.update(
            {
                "data": {"digest": "sha256:" + "d" * 64, "rows": 2000},
                "config": {"training": {"rounds": 40, "features": ["amount", "hour"], "none": None}},
            }
        )
        parts.validation.update(
            verdict="pass",
            demands=[{"metric": "auc", "value": 0.9, "threshold": ">= 0.75", "verdict": "pass"}],
        )
        parts.metrics.update(metrics={"auc": 0.9, "ks": None}, intervals={"auc": [0.8, 0.95]})
        bundle = write_bundle(self.home.bundles, parts, SigningKey.load_or_create(self.home.keys))
        self.registry.register(bundle, by="ann", owner="cards", run=f"r{version}", commit="abc")

    def sync(self) -> list[bool]:
        """Which versions are told now."""
        states = sync(self.registry, URI, connect=lambda uri: self.catalogue)
        return [state.current for state in states]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.register(1)
    return made


def test_each_version_is_told_once_with_all_that_a_reader_asks_for(desk: Desk) -> None:
    assert pending(desk.registry, URI) == 1
    assert desk.sync() == [True]
    assert (desk.sync(), desk.catalogue.calls, pending(desk.registry, URI)) == ([True], 1, 0)
    entry = desk.catalogue.entries["small", 1]
    assert entry.params == {"training.rounds": "40", "training.features": '["amount","hour"]'}
    assert entry.metrics == {
        "auc": 0.9, "auc.low": 0.8, "auc.high": 0.95, "gates/auc": 0.9, "gates/auc.passed": 1.0,
    }  # fmt: skip
    assert entry.run_tags["serinus.digest"] == desk.registry.get("small").digest
    assert (entry.tags["serinus.commit"], entry.tags["serinus.data"]) == ("abc", "sha256:" + "d" * 64)
    assert "| auc | 0.9 | >= 0.75 | pass |" in entry.about
    assert {Path(paper).name for paper in entry.papers} >= {"card.html", "validation.json", "manifest.json"}


def test_a_turn_is_told_anew_and_the_alias_goes_over(desk: Desk) -> None:
    desk.registry.set_stage("small", 1, "champion", by="bob", reason="first")
    desk.sync()
    assert desk.catalogue.entries["small", 1].aliases == ("champion",)
    desk.register(2)
    desk.registry.approve("small", 2, by="bob", role="validator", reason="read | agreed")
    desk.registry.set_stage("small", 2, "champion", by="bob", reason="better")
    assert pending(desk.registry, URI) == 2
    assert desk.sync() == [True, True]
    aliases = {version: entry.aliases for (_, version), entry in desk.catalogue.entries.items()}
    assert aliases == {1: (), 2: ("champion",)}
    about = desk.catalogue.entries["small", 2].about
    assert "Approved by bob (validator)" in about
    assert "read \\| agreed" in about, "a bar in a reason breaks no table"


def test_a_catalogue_that_is_away_loses_nothing_and_is_asked_once(desk: Desk) -> None:
    desk.register(2)
    desk.catalogue.down = True
    states = sync(desk.registry, URI, connect=lambda uri: desk.catalogue)
    assert [(s.current, s.attempts) for s in states] == [(False, 1), (False, 1)]
    assert "SRN-MLFLOW-002" in states[0].error
    assert desk.catalogue.calls == 1
    assert pending(desk.registry, URI) == 2
    desk.catalogue.down = False
    assert desk.sync() == [True, True]
    assert sync(desk.registry, URI, connect=lambda uri: desk.catalogue)[0].error == ""


def test_what_was_told_stays_told_while_it_is_away(desk: Desk) -> None:
    desk.sync()
    desk.catalogue.down = True
    desk.register(2)
    assert desk.sync() == [True, False]


def test_another_server_is_told_everything(desk: Desk) -> None:
    desk.sync()
    other = MemoryCatalogue()
    states = sync(desk.registry, "http://other.example", connect=lambda uri: other)
    assert [s.current for s in states] == [True]
    assert len(other.entries) == 1


def test_no_password_is_kept(desk: Desk) -> None:
    sync(desk.registry, "https://ann:hunter2@mlflow.example", connect=lambda uri: desk.catalogue)
    assert b"hunter2" not in desk.home.registry_db.read_bytes()
    assert pending(desk.registry, "https://ann:other@mlflow.example") == 0


@pytest.mark.parametrize(
    ("config", "flat"),
    [
        ({"a": {"b": {"c": 1}}}, {"a.b.c": "1"}),
        ({"a": []}, {}),
        ({"a": True}, {"a": "true"}),
        ({"ä [x]": 1.5}, {"ä _x_": "1.5"}),
        ({"a": "x" * 900}, {"a": "x" * 499 + "…"}),
    ],
)
def test_a_config_becomes_parameters_that_mlflow_takes(
    config: dict[str, object], flat: dict[str, str]
) -> None:
    assert parameters(config) == flat


def test_what_was_not_measured_is_no_figure() -> None:
    measured = {"metrics": {"auc": None, "ks": float("nan")}, "intervals": {"auc": None}}
    assert figures(measured, [{"metric": "psi", "value": None, "verdict": "no_data"}]) == {}


def test_without_a_uri_nothing_is_imported_that_takes_seconds() -> None:
    import subprocess
    import sys

    probe = (
        "import sys, serinus.registry.telling, components.register.register; print('mlflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=240, check=True
    )
    assert done.stdout.strip() == "False"
