"""What a request carries beyond its features never reaches the decision log, whichever way it is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.events import DecisionLog, read_decisions
from serving.scorer.decisions import Recorder
from tests.unit.scorer.support import GOOD, NAMES, NOW, Rig, rig, v1, v2

# Long enough, and of letters no log line has by itself, to be found wherever it turned up.
secrets = st.text("ΑΒΓΔΕΖΗΘ☃", min_size=6, max_size=12) | st.sampled_from(
    ["4111111111111111", "5555 5555 5555 4444", "378282246310005", "customer-Jane-Q-Public"]
)
names = st.sampled_from(["sex", "id", "customer", "terminal", "card_number", "fraud", "note"])


class Logged:
    """A rig whose decisions go to a real file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self.made: Rig = rig()
        self.log = DecisionLog(path)
        self.made.service.recorder = Recorder(self.log, self.made.service.identity, now=lambda: NOW)

    def bytes(self) -> bytes:
        self.made.service.recorder.write()
        self.log.close()
        return self.path.read_bytes()


def forms(name: str, secret: str) -> list[tuple[str, Any, dict[str, str]]]:
    """Every way to put a name and a value into a request; path, document, headers."""
    record = dict(zip(NAMES, GOOD, strict=True))
    tensor = {"name": name, "shape": [1], "datatype": "BYTES", "data": [secret]}
    by_tensor = v2(GOOD)
    return [
        ("/predict", {"jsonData": {"rows": [{**record, name: secret}]}}, {}),
        ("/predict", v1([*GOOD, secret], names=[*NAMES, name]), {}),
        ("/predict", v1([*GOOD, secret]), {}),
        ("/predict", {**v1(GOOD), "meta": {"tags": {name: secret}}}, {}),
        ("/predict", {**v1(GOOD), "strData": secret}, {}),
        ("/predict", v1([*GOOD[:2], secret, *GOOD[3:]]), {}),  # a category's free text
        ("/v2/models/small/infer", {"inputs": [*by_tensor["inputs"], tensor]}, {}),
        ("/v2/models/small/infer", {**by_tensor, "parameters": {name: secret}}, {}),
        ("/v2/models/small/infer", {"inputs": [{**t, "parameters": {name: secret}} for t in by_tensor["inputs"]]}, {}),
        ("/predict", v1(GOOD), {"x_customer": secret.encode("utf-8").decode("latin-1")}),
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(name=names, secret=secrets)
def test_no_value_of_another_column_or_of_a_category_is_in_the_logs_bytes(
    tmp_path_factory: pytest.TempPathFactory, name: str, secret: str
) -> None:
    logged = Logged(tmp_path_factory.mktemp("log") / "log.jsonl")
    statuses = [
        logged.made.predict(document, path, **headers).status
        for path, document, headers in forms(name, secret)
    ]
    assert logged.made.predict(v1(GOOD)).status == 200  # the log is not empty for want of answers
    content = logged.bytes()
    assert content.count(b"\n") == statuses.count(200) + 1
    for written in (secret, json.dumps(secret)[1:-1], secret.replace(" ", "")):
        assert written.encode() not in content


@pytest.mark.parametrize("path", ["/predict", "/v2/models/small/infer"])
@pytest.mark.parametrize("puid", ["4111111111111111", "order-4111-1111-1111-1111", "378282246310005"])
def test_a_request_id_that_holds_a_card_number_is_refused_unquoted(
    tmp_path: Path, path: str, puid: str
) -> None:
    logged = Logged(tmp_path / "log.jsonl")
    document = v2(GOOD) if path.startswith("/v2") else v1(GOOD)
    in_body = {**document, "id": puid} if path.startswith("/v2") else {**document, "meta": {"puid": puid}}
    for answer in (
        logged.made.predict(document, path, seldon_puid=puid),
        logged.made.predict(in_body, path),
    ):
        assert answer.status == 400
        assert b"card number" in answer.body
        assert puid.encode() not in answer.body
    assert logged.made.predict(document, path, seldon_puid="order-4111-1111-1111-1112").status == 200
    assert logged.bytes().count(b"\n") == 1
    assert [event.id for event in read_decisions(logged.path)] == ["order-4111-1111-1111-1112"]


@pytest.mark.parametrize(
    "truth", [[["4111 1111 1111 1111"]], [[4111111111111111]], [[0], ["5555555555554444"]]]
)
def test_an_outcome_that_holds_a_card_number_is_refused(truth: list[list[Any]]) -> None:
    made = rig()
    body = json.dumps({"truth": {"data": {"ndarray": truth}}}).encode()
    answer = made.call("POST", "/send-feedback", body, seldon_puid="a")
    assert (answer.status, made.feedback.kept) == (400, [])
    assert (
        made.call(
            "POST", "/send-feedback", body.replace(b"1", b"2").replace(b"5", b"7"), seldon_puid="a"
        ).status
        == 200
    )
