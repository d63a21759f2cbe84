"""The scorer as a Seldon pod's container: its three ports, and a rolling restart under gRPC load."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from serinus.events import read_decisions, verify_decisions
from serving.scorer.grpc import messages as pb
from tests.local.scorer.load import until
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_bundle, small_home
from tests.unit.scorer.support import BAD, GOOD, v1
from tests.unit.scorer_grpc.support import seldon_rows

pytestmark = pytest.mark.local
PREDICT = "/seldon.protos.Seldon/Predict"


def test_all_three_ports_answer_and_the_parameters_count(tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    env = {
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "0",
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": "0",
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "0",
        "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
        "PREDICTIVE_UNIT_ID": "classifier",
        "PREDICTIVE_UNIT_PARAMETERS": json.dumps([{"name": "explain", "value": "never", "type": "STRING"}]),
    }
    with ScorerProcess(bundle.path, home.root, env=env) as scorer:
        with connection(scorer.port) as client:
            answer = json.loads(client.post("/predict", json.dumps(v1(BAD)).encode())[2])
        decision = answer["meta"]["tags"]["decisions"][0]
        assert (decision["decision"], decision["reasons"]) == ("decline", [])
        with grpc.insecure_channel(f"127.0.0.1:{scorer.ready['grpc_port']}") as channel:
            raw = channel.unary_unary(PREDICT)(seldon_rows(GOOD).SerializeToString(), timeout=60)
        assert pb.SeldonMessage.FromString(raw).data.names == ["probability"]
        with connection(scorer.ready["metrics_port"]) as client:
            status, headers, text = client.get("/prometheus")
            assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
            assert b'serinus_requests_total{code="200",model="classifier",predictor="champion"} 2.0' in text
            assert client.post("/predict", json.dumps(v1(GOOD)).encode())[0] == 404
        scorer.terminate()
        assert scorer.wait() == (0, "")


# A call that arrives in the moment of grpcio's GOAWAY is cancelled, so clients that must not meet
# one watch the health, as Envoy's and Kubernetes' probes do, and have left by then.
_SERVICE = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}


class Load:
    """One client that asks without pause; its channel balances over both replicas and watches their health."""

    def __init__(self, ports: list[int]) -> None:
        self.codes: list[str] = []
        self.ids: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ports,))

    def _run(self, ports: list[int]) -> None:
        options = [
            ("grpc.service_config", json.dumps(_SERVICE)),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
        message = seldon_rows(GOOD).SerializeToString()
        with grpc.insecure_channel(f"ipv4:{addresses}", options=options) as channel:
            call = channel.unary_unary(PREDICT)
            while not self._stop.is_set():
                try:
                    self.ids.append(pb.SeldonMessage.FromString(call(message, timeout=60)).meta.puid)
                    self.codes.append("OK")
                except grpc.RpcError as error:
                    told: Any = error
                    self.codes.append(f"{told.code().name}: {told.details()}")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def until(self, answers: int) -> None:
        """Wait for that many more answers."""
        wanted = len(self.codes) + answers
        until(lambda: len(self.codes) >= wanted)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(90)


def test_a_replica_that_is_told_to_go_fails_no_grpc_call_and_loses_no_decision(tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    logs = [home.decisions / f"{name}.jsonl" for name in ("a", "b")]
    # The time that its clients have to notice: on a busy machine more than they need.
    flags = [("--grpc-port", "0", "--drain-delay", "5", "--log", str(log)) for log in logs]
    with (
        ScorerProcess(bundle.path, home.root, *flags[0]) as stays,
        ScorerProcess(bundle.path, home.root, *flags[1]) as goes,
    ):
        ports = [int(scorer.ready["grpc_port"]) for scorer in (stays, goes)]
        loads = [Load(ports) for _ in range(4)]
        with loads[0], loads[1], loads[2], loads[3]:
            for load in loads:
                load.until(50)
            goes.terminate()
            assert goes.wait() == (0, "")
            for load in loads:
                load.until(50)
        stays.terminate()
        assert stays.wait() == (0, "")
    codes = [code for load in loads for code in load.codes]
    assert set(codes) == {"OK"}
    kept = [decision.id for log in logs for decision in read_decisions(log)]
    assert sorted(kept) == sorted(request_id for load in loads for request_id in load.ids)
    for log in logs:
        verify_decisions(log)
