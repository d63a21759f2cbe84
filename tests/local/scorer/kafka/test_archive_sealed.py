"""Decisions sealed by person go through Kafka into the archive, where they are explained, shown, and erased."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("confluent_kafka")

from serinus.cli import main
from serinus.home import Home
from serinus.registry import Registry
from tests.local.scorer.kafka.archive import ArchiveProcess
from tests.local.scorer.kafka.broker import JARS, Broker
from tests.local.scorer.load import until
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_home
from tests.support.entities import cards, cards_bundle, payment

pytestmark = [
    pytest.mark.local,
    pytest.mark.slow,
    pytest.mark.skipif(not JARS, reason="SERINUS_KAFKA_JARS names no directory with Kafka's jars"),
]


def test_a_sealed_decision_is_explained_from_the_archive_until_its_person_is_erased(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = cards_bundle(tmp_path, cards(privacy={"subject": "card"}))
    central, pod = small_home(tmp_path), Home(tmp_path / "pod")
    Registry(central).register(bundle, by="ann", owner="cards", run="run-1")
    address = f"kafka://{broker.servers}/sealed?deadline=10s"
    # One store of keys for pods and archive, as the chart's privacy.* gives them.
    keys = {
        "SERINUS_SUBJECT_KEYS": str(central.root / "subjects" / "keys.db"),
        "SERINUS_MASTER_KEY": str(central.root / "keys" / "master.key"),
    }
    central.keys.joinpath("master.key").write_text(base64.b64encode(os.urandom(32)).decode())

    def serinus(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--home", str(central.root)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        flags = ("--log", address, "--durability", "strict", "--keys", str(central.keys))
        with (
            ScorerProcess(bundle.path, pod.root, *flags) as scorer,
            connection(scorer.port) as client,
            ArchiveProcess(central.root, "--kafka", address) as archive,
        ):

            def pay(number: int, card: str) -> Any:
                record = payment(number, number / 10, card=card)
                body = json.dumps({"jsonData": {"records": [record]}}).encode()
                return client.post("/api/v1.0/predictions", body, {"Seldon-Puid": f"r{number}"})[0]

            for number, card in enumerate(["card-ann", "card-bob", "card-ann"]):
                assert pay(number, card) == 200
            until(
                lambda: (
                    archive.figure("serinus_archive_lines_total", source="kafka:sealed", result="kept") == 3
                )
            )
            kept = b"".join(path.read_bytes() for path in central.decisions.glob("*.jsonl"))
            assert b"card-ann" not in kept
            assert b'"features"' not in kept

            code, said = serinus("explain", "r0")
            assert (code, "identical" in said) == (0, True), said
            shown = json.loads(serinus("privacy", "show", "card-ann")[1])
            assert [one["event"]["id"] for one in shown["decisions"]] == ["r0", "r2"]

            code, said = serinus("privacy", "erase", "card-ann", "--reason", "case 12", "--yes")
            assert (code, "2 decisions unreadable" in said) == (0, True), said
            code, said = serinus("explain", "r0")
            assert (code, "cannot be explained: erased on" in said) == (1, True), said
            assert serinus("explain", "r1")[0] == 0
            assert pay(3, "card-bob") == 200
            until(
                lambda: (
                    archive.figure("serinus_archive_lines_total", source="kafka:sealed", result="kept") == 4
                )
            )
            assert serinus("explain", "r3")[0] == 0
            code, said = serinus("audit", "verify")
            assert code == 0, said
