"""Two real scorers, as on two nodes, with one PostgreSQL: one erasure reaches both, and a dead server neither's log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.home import Home
from serinus.privacy.seal import key_of
from serinus.registry import Registry
from tests.local.privacy.conftest import Place
from tests.local.scorer.load import until
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_home
from tests.support.entities import cards, cards_bundle, payment

pytestmark = pytest.mark.local


def sealed_with(home: Home) -> set[str | None]:
    return {
        key_of(line) for log in home.decisions.glob("cards-*.jsonl") for line in log.read_bytes().splitlines()
    }


def test_an_erasure_reaches_every_node_and_a_dead_server_is_survived(
    tmp_path: Path, cluster: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster.server is not None
    bundle = cards_bundle(tmp_path, cards(privacy={"subject": "card"}))
    homes = [small_home(tmp_path), Home(tmp_path / "two")]
    shutil.copytree(homes[0].keys, homes[1].keys, dirs_exist_ok=True)
    Registry(homes[0]).register(bundle, by="ann", owner="cards", run="run-1")
    env = {**cluster.environment, "SERINUS_MASTER_KEY": str(cluster.master)}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    store = cluster.open()

    def keys(card: str) -> list[str]:
        return list(store.keys_of(store.mark("card", card)))

    with (
        ScorerProcess(bundle.path, homes[0].root, env=env) as first,
        ScorerProcess(bundle.path, homes[1].root, env=env) as second,
        connection(first.port) as one,
        connection(second.port) as two,
    ):

        def pay(client: object, number: int, card: str) -> int:
            body = json.dumps({"jsonData": {"records": [payment(number, number / 10, card=card)]}}).encode()
            return client.post("/api/v1.0/predictions", body, {"Seldon-Puid": f"r{number}"})[0]  # type: ignore[attr-defined]

        # A scorer waits a quarter of a second for the store: on a busy machine it may refuse somebody new.
        until(lambda: pay(one, 0, "ann") == 200, 60)
        until(lambda: len(keys("ann")) == 1, 60)
        until(lambda: pay(two, 1, "ann") == 200, 60)
        (shared,) = keys("ann")
        place = ("--home", str(homes[0].root))
        assert main(["privacy", "erase", "ann", "--reason", "case 12", "--yes", *place]) == 0
        assert "1 key destroyed" in capsys.readouterr().out
        number = iter(range(2, 10_000))
        for client, home in ((one, homes[0]), (two, homes[1])):
            # Within half a second each seals with another key for who comes back.
            until(
                lambda client=client, home=home: (
                    pay(client, next(number), "ann") == 200 and not sealed_with(home).isdisjoint(keys("ann"))
                ),
                60,
            )
        assert shared not in keys("ann")
        cluster.server.kill()
        assert pay(one, 20_000, "eve") == 503
        cluster.server.start()
        until(lambda: pay(one, next(number) + 30_000, "eve") == 200, 60)
        until(lambda: len(keys("eve")) == 1, 60)
    assert main(["explain", "r0", *place]) == 1
    assert "erased on" in capsys.readouterr().out
    assert main(["audit", "verify", *place]) == 0
