"""A stand-in for KFP's API server that holds every request against the published API (kfp-server-api)."""

import json
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import kfp_server_api


def check(body: dict[str, Any], model: str) -> None:
    """Every key is one that the API's model has, nested models included."""
    kind: Any = getattr(kfp_server_api, model)
    unknown = set(body) - set(kind.attribute_map.values())
    assert not unknown, f"{model} has no {unknown}"
    for attribute, key in kind.attribute_map.items():
        nested = kind.openapi_types[attribute]
        if isinstance(body.get(key), dict) and hasattr(kfp_server_api, nested):
            check(body[key], nested)
        elif key in body and nested == "str":
            assert isinstance(body[key], str)


class KfpServer:
    """Pipelines, experiments and runs in memory, behind real HTTP on loopback."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.experiments: list[dict[str, Any]] = []
        self.versions = ["v-new", "v-old"]
        self.states: Callable[[dict[str, Any]], str] = lambda run: "SUCCEEDED"
        self.refuse: list[int] = []
        self.lose_answer_of_create = False
        self.terminated: list[str] = []
        self.tokens: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self._answer(json.loads(self.rfile.read(length)) if length else {})

            def _answer(self, body: Any) -> None:
                outer.tokens.add(self.headers.get("Authorization", ""))
                status, answer = outer.answer(self.command, self.path, body)
                if status == 0:
                    self.connection.close()
                    return
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its own name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, body: Any) -> tuple[int, dict[str, Any]]:
        path, _, query = target.removeprefix("/apis/v2beta1").partition("?")
        asked = {k: v[0] for k, v in urllib.parse.parse_qs(query).items()}
        if self.refuse:
            return self.refuse.pop(0), {"message": "try later"}
        match method, path.strip("/").split("/"):
            case "GET", ["pipelines", "names", "serinus-training"]:
                return 200, {"pipeline_id": "p1"}
            case "GET", ["pipelines", "names", name]:
                return 404, {"message": f"pipeline {name} not found"}
            case "GET", ["pipelines", "p1", "versions"]:
                found = [{"pipeline_version_id": v, "display_name": v} for v in self.versions]
                return 200, {"pipeline_versions": _filtered(found, asked)[: int(asked["page_size"])]}
            case "GET", ["experiments"]:
                return 200, {"experiments": _filtered(self.experiments, asked)}
            case "POST", ["experiments"]:
                check(body, "V2beta1Experiment")
                self.experiments.append({**body, "experiment_id": "e1"})
                return 200, self.experiments[-1]
            case "GET", ["runs"]:
                assert asked["experiment_id"] == "e1"
                return 200, {"runs": _filtered(self.runs, asked)}
            case "POST", ["runs"]:
                check(body, "V2beta1Run")
                self.runs.append({**body, "run_id": f"r{len(self.runs) + 1}", "looked_at": 0})
                if self.lose_answer_of_create:
                    self.lose_answer_of_create = False
                    return 0, {}
                return 200, self.runs[-1]
            case "POST", ["runs", action] if action.endswith(":terminate"):
                self.terminated.append(action.removesuffix(":terminate"))
                return 200, {}
            case "GET", ["runs", identity]:
                run = next(run for run in self.runs if run["run_id"] == identity)
                run["looked_at"] += 1
                state = self.states(run)
                assert state in kfp_server_api.V2beta1RuntimeState.allowable_values
                failed = {"error": {"message": "the gate stopped it"}} if state == "FAILED" else {}
                return 200, {**run, "state": state, **failed}
            case _:
                return 404, {"message": f"{method} {path} is not in the API"}


def _filtered(items: list[dict[str, Any]], asked: dict[str, str]) -> list[dict[str, Any]]:
    if "filter" not in asked:
        return items
    wanted = json.loads(asked["filter"])
    check(wanted, "V2beta1Filter")
    (predicate,) = wanted["predicates"]
    check(predicate, "V2beta1Predicate")
    assert predicate["operation"] in kfp_server_api.V2beta1PredicateOperation.allowable_values
    return [item for item in items if item[predicate["key"]] == predicate["string_value"]]
