"""NVIDIA's tritonclient against the scorer: HTTP with JSON and with binary tensors, and gRPC."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

from serinus.model import Answer
from serinus.scoring import Scorer
from tests.local.scorer.process import ScorerProcess
from tests.support.bundles import small_home
from tests.support.numeric import numeric_bundle
from tests.unit.scorer.support import BAD, GOOD, NAMES

pytestmark = pytest.mark.local
KINDS: dict[str, Any] = {"FP64": np.float64, "INT64": np.int64, "BYTES": np.object_}
COLUMNS = dict(zip(NAMES, ["FP64", "INT64", "BYTES", "FP64", "FP64"], strict=True))
OUTPUTS = ["probability", "score", "decision", "reasons"]


class Http:
    """Its HTTP client, sending and asking for tensors as JSON or as binary."""

    def __init__(self, scorer: ScorerProcess, *, binary: bool) -> None:
        self.client: Any = over_http.InferenceServerClient(f"127.0.0.1:{scorer.port}")
        self._binary = binary

    def tensor(self, name: str, values: np.ndarray[Any, Any], kind: str) -> Any:
        made = over_http.InferInput(name, list(values.shape), kind)
        made.set_data_from_numpy(values, binary_data=self._binary)
        return made

    def output(self, name: str) -> Any:
        return over_http.InferRequestedOutput(name, binary_data=self._binary)

    def metadata(self, model: str) -> Any:
        return self.client.get_model_metadata(model)


class Grpc:
    """Its gRPC client, which always sends raw tensors."""

    def __init__(self, scorer: ScorerProcess) -> None:
        self.client: Any = over_grpc.InferenceServerClient(f"127.0.0.1:{scorer.ready['grpc_port']}")

    def tensor(self, name: str, values: np.ndarray[Any, Any], kind: str) -> Any:
        made = over_grpc.InferInput(name, list(values.shape), kind)
        made.set_data_from_numpy(values)
        return made

    def output(self, name: str) -> Any:
        return over_grpc.InferRequestedOutput(name)

    def metadata(self, model: str) -> Any:
        return self.client.get_model_metadata(model, as_json=True)


CLIENTS: dict[str, Callable[[ScorerProcess], Any]] = {
    "http json": lambda scorer: Http(scorer, binary=False),
    "http binary": lambda scorer: Http(scorer, binary=True),
    "grpc": Grpc,
}


@pytest.fixture(scope="module", params=list(CLIENTS))
def peer(request: pytest.FixtureRequest, scorer: ScorerProcess) -> Generator[Any]:
    made = CLIENTS[request.param](scorer)
    yield made
    made.client.close()


def inputs(peer: Any, *rows: list[Any]) -> list[Any]:
    made = []
    for k, (name, kind) in enumerate(COLUMNS.items()):
        # JSON cannot carry the NaN that means a missing value elsewhere: these rows have none.
        values = np.array([5.0 if row[k] is None else row[k] for row in rows], dtype=KINDS[kind])
        made.append(peer.tensor(name, values, kind))
    return made


@pytest.fixture(scope="module")
def wanted(bundle: Any) -> list[Answer]:
    made = Scorer(bundle)
    rows = [[5.0 if cell is None else cell for cell in row] for row in (GOOD, BAD)]
    return made.score(made.vectorizer.encode_rows([dict(zip(NAMES, row, strict=True)) for row in rows]))


def test_it_finds_the_server_ready_and_the_models_tensors(peer: Any) -> None:
    assert peer.client.is_server_live()
    assert peer.client.is_server_ready()
    assert peer.client.is_model_ready("classifier")
    found = peer.metadata("classifier")
    assert [tensor["name"] for tensor in found["inputs"]] == NAMES
    assert [tensor["name"] for tensor in found["outputs"]] == OUTPUTS


def test_it_reads_every_output(peer: Any, wanted: list[Answer]) -> None:
    result = peer.client.infer("classifier", inputs(peer, GOOD, BAD), request_id="q-1")
    assert result.as_numpy("probability").tolist() == [answer.probability for answer in wanted]
    assert result.as_numpy("score").tolist() == [answer.score for answer in wanted]
    text = [value.decode() if isinstance(value, bytes) else value for value in result.as_numpy("decision")]
    assert text == [answer.decision for answer in wanted]
    reasons = [json.loads(value) for value in result.as_numpy("reasons")]
    assert [[r["code"] for r in given] for given in reasons] == [[r.code for r in a.reasons] for a in wanted]


def test_it_gets_only_the_outputs_it_asks_for(peer: Any, wanted: list[Answer]) -> None:
    result = peer.client.infer(
        "classifier", inputs(peer, BAD), outputs=[peer.output("decision"), peer.output("probability")]
    )
    assert result.as_numpy("probability").tolist() == [wanted[1].probability]
    assert result.as_numpy("score") is None


def test_it_raises_what_names_the_field(peer: Any) -> None:
    spoilt = inputs(peer, GOOD)
    spoilt[1] = peer.tensor("hour", np.array([99]), "INT64")
    with pytest.raises(InferenceServerException) as caught:
        peer.client.infer("classifier", spoilt)
    assert "inputs[1].data[0] (hour): is 99" in str(caught.value)
    with pytest.raises(InferenceServerException, match="there is no model"):
        peer.client.infer("other", spoilt)


@pytest.fixture(scope="module")
def numeric(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[ScorerProcess, Scorer]]:
    folder: Path = tmp_path_factory.mktemp("numeric")
    bundle = numeric_bundle(folder)
    with ScorerProcess(bundle.path, small_home(folder).root, "--grpc-port", "0") as process:
        yield process, Scorer(bundle)


@pytest.mark.parametrize("kind", ["FP64", "FP32"])
@pytest.mark.parametrize("client", list(CLIENTS))
def test_a_matrix_with_missing_values_is_scored_row_by_row(
    numeric: tuple[ScorerProcess, Scorer], client: str, kind: str
) -> None:
    process, scorer = numeric
    random = np.random.default_rng(5)
    rows = np.column_stack(
        [
            random.uniform(1, 900, 1000),
            random.integers(0, 24, 1000),
            random.uniform(0, 60, 1000),
            random.random(1000),
        ]
    ).astype(np.float32)
    if client != "http json":
        rows[::7, 2] = np.nan
    peer = CLIENTS[client](process)
    values = rows.astype({"FP64": np.float64, "FP32": np.float32}[kind])
    result = peer.client.infer(
        "small", [peer.tensor("rows", values, kind)], outputs=[peer.output("probability")]
    )
    expected = [answer.probability for answer in scorer.score(rows.astype(np.float64), "never")]
    np.testing.assert_allclose(result.as_numpy("probability"), expected, rtol=0, atol=1e-12)
    peer.client.close()
