"""The whole way: a scorer seals what it decides, a person is erased with the command, and nothing else breaks."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from serinus.cli import main
from serinus.privacy import open_store
from serinus.registry import Registry
from tests.local.scorer.load import until
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_home
from tests.support.entities import cards, cards_bundle, payment

pytestmark = pytest.mark.local


def test_a_person_is_erased_while_the_scorer_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = cards_bundle(tmp_path, cards(privacy={"subject": "card"}))
    home = small_home(tmp_path)
    Registry(home).register(bundle, by="ann", owner="cards", run="run-1")

    def serinus(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--home", str(home.root)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    flags = ("--features-snapshot", str(home.root / "histories"))
    with ScorerProcess(bundle.path, home.root, *flags) as scorer, connection(scorer.port) as client:

        def pay(number: int, card: str) -> tuple[int, Any]:
            body = json.dumps({"jsonData": {"records": [payment(number, number / 10, card=card)]}}).encode()
            status, _, answer = client.post("/api/v1.0/predictions", body, {"Seldon-Puid": f"r{number}"})
            return status, json.loads(answer)

        for number, card in enumerate(["card-ann", "card-bob", "card-ann"]):
            assert pay(number, card)[0] == 200
        feedback = json.dumps({"response": {"meta": {"puid": "r0"}}, "truth": {"data": {"ndarray": [[1]]}}})
        assert client.post("/api/v1.0/feedback", feedback.encode())[0] == 200
        until(lambda: serinus("decisions", "show", "--last", "9", "--output", "json")[1].count('"id"') == 3)
        assert serinus("explain", "r0")[0] == 0
        shown = json.loads(serinus("privacy", "show", "card-ann")[1])
        assert [one["event"]["id"] for one in shown["decisions"]] == ["r0", "r2"]
        assert shown["outcomes"][0]["truth"] == [[1]]

        code, said = serinus("privacy", "erase", "card-ann", "--reason", "case 12", "--yes")
        assert (code, "2 decisions unreadable" in said) == (0, True), said

        code, said = serinus("explain", "r0")
        assert (code, "cannot be explained: erased on" in said) == (1, True)
        code, said = serinus("decisions", "show", "--last", "9")
        assert code == 0
        assert said.count("erased on") == 2
        assert serinus("explain", "r1")[0] == 0
        assert serinus("audit", "verify")[0] == 0
        assert serinus("privacy", "status")[0] == 0
        assert json.loads(serinus("privacy", "show", "card-ann")[1])["outcomes"] == []

        store = open_store(home, {})
        histories = home.root / "histories"
        until(lambda: histories.exists() and b"card-ann" not in _all(home.root, "histories*"))
        assert pay(3, "card-ann")[0] == 200, "who comes back is served"
        until(lambda: len(store.keys_of(store.mark("card", "card-ann"))) == 1)
        until(lambda: serinus("explain", "r3")[0] == 0)  # the line is written after its key
        scorer.terminate()
        assert scorer.wait() == (0, "")
    logged = _all(home.root / "decisions", "*")
    for said in (b"card-ann", b"card-bob", b'"features"', b'"score"'):
        assert said not in logged


def _all(root: Path, pattern: str) -> bytes:
    found: list[bytes] = []
    for path in root.glob(pattern):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # replaced meanwhile
            found.append(path.read_bytes())
    return b"".join(found)


def test_a_scorer_without_the_master_key_does_not_start(tmp_path: Path) -> None:
    bundle = cards_bundle(tmp_path, cards(privacy={"subject": "card"}))
    env = {"SERINUS_MASTER_KEY": str(tmp_path / "absent")}
    with (
        pytest.raises(AssertionError, match="SRN-PRIVACY-001"),
        ScorerProcess(bundle.path, small_home(tmp_path).root, env=env),
    ):
        pass
