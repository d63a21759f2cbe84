"""The decision log over TLS to a real Kafka broker that asks its clients for certificates."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("confluent_kafka")

from serinus.chain import verify_log
from tests.local.scorer.kafka.broker import JARS, Broker
from tests.local.scorer.load import BODIES
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_bundle, small_home
from tests.support.certs import Authority
from tests.support.kafka import dump, lines_of
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.local,
    pytest.mark.slow,
    pytest.mark.skipif(not JARS, reason="SERINUS_KAFKA_JARS names no directory with Kafka's jars"),
]


class SecureBroker(Broker):
    """Listens with TLS beside its plain port, by which the tests read what arrived."""

    def __init__(self, directory: Path, authority: Authority, pair: tuple[Path, Path]) -> None:
        super().__init__(directory)
        self.secure = f"127.0.0.1:{free_port()}"
        both = directory / "broker.pem"
        both.write_bytes(pair[1].read_bytes() + pair[0].read_bytes())
        settings = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": authority.ca,
            "ssl.client.auth": "required",
        }
        text = self._config.read_text()
        for key in ("listeners", "advertised.listeners"):
            text = text.replace(f"\n{key}=PLAINTEXT://", f"\n{key}=SSL://{self.secure},PLAINTEXT://")
        text = text.replace("PLAINTEXT:PLAINTEXT", "PLAINTEXT:PLAINTEXT,SSL:SSL")
        self._config.write_text(text + "".join(f"{key}={value}\n" for key, value in settings.items()))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, ours: Authority) -> Generator[SecureBroker]:
    with SecureBroker(tmp_path_factory.mktemp("kafka"), ours, ours.sign("broker")) as made:
        yield made


def config(directory: Path, ca: Path, client: tuple[Path, Path] | None) -> Path:
    """librdkafka's settings, as ``?config=`` names them."""
    lines = ["security.protocol=SSL", f"ssl.ca.location={ca}"]
    if client is not None:
        lines += [f"ssl.certificate.location={client[0]}", f"ssl.key.location={client[1]}"]
    path = directory / "kafka.properties"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_decisions_arrive_by_mutual_tls(broker: SecureBroker, ours: Authority, tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    file = config(tmp_path, ours.ca, ours.sign("scorer", client=True))
    where = f"kafka://{broker.secure}/secure?deadline=10s&config={file}"
    with (
        ScorerProcess(bundle.path, home.root, "--durability", "strict", "--log", where) as scorer,
        connection(scorer.port) as client,
    ):
        for i in range(100):
            assert client.post("/predict", BODIES[i], {"Seldon-Puid": f"s{i}"})[0] == 200
        scorer.terminate()
        assert scorer.wait()[0] == 0
    ((_, lines),) = lines_of(broker.servers, "secure").items()
    assert verify_log(dump(lines, tmp_path / "topic.jsonl")).broken is None
    assert [msgspec.json.decode(line)["body"]["id"] for line in lines] == [f"s{i}" for i in range(100)]


@pytest.mark.parametrize(
    "what", ["another authority", "no certificate", "a foreign certificate", "an expired one"]
)
def test_who_cannot_be_believed_starts_no_scorer(
    what: str, broker: SecureBroker, ours: Authority, tmp_path: Path
) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    other = Authority(tmp_path, "other")
    client = None if what == "no certificate" else ours.sign("client", client=True)
    if what == "a foreign certificate":
        client = other.sign("client", client=True)
    if what == "an expired one":
        client = ours.sign("late", client=True, days=-1)
    file = config(tmp_path, other.ca if what == "another authority" else ours.ca, client)
    where = f"kafka://{broker.secure}/refused?deadline=3s&config={file}"
    with (
        pytest.raises(AssertionError, match="SRN-SCORER-007"),
        ScorerProcess(bundle.path, home.root, "--durability", "strict", "--log", where),
    ):
        pass
    assert "refused" not in broker.topics()
