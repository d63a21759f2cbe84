"""A stand-in for KFP's API server that holds every request and answer against the published API (kfp-server-api)."""

import inspect
import json
import re
import threading
import urllib.parse
from collections.abc import Callable
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import kfp_server_api
import kfp_server_api.api as apis


def check(value: Any, kind: str, where: str = "") -> None:
    """The value is of that type of the API, nested ones included: no unknown key, no wrong type, no wrong word."""
    if (found := re.fullmatch(r"list\[(.+)\]", kind)) is not None:
        assert isinstance(value, list), f"{where} is no list"
        for each in value:
            check(each, found[1], f"{where}[]")
    elif (found := re.fullmatch(r"dict\(str, (.+)\)", kind)) is not None:
        assert isinstance(value, dict), f"{where} is no object"
        for key, each in value.items():
            check(each, found[1], f"{where}.{key}")
    elif kind in _PLAIN:
        assert isinstance(value, _PLAIN[kind]), f"{where} is {value!r}, no {kind}"
    elif kind == "datetime":
        datetime.fromisoformat(value)
    else:
        model: Any = getattr(kfp_server_api, kind)
        words = getattr(model, "allowable_values", None)
        if words is not None:
            assert value in words, f"{where} is {value!r}, none of {words}"
            return
        unknown = set(value) - set(model.attribute_map.values())
        assert not unknown, f"{where or kind} has no {unknown}"
        for attribute, key in model.attribute_map.items():
            if key in value:
                check(value[key], model.openapi_types[attribute], f"{where or kind}.{key}")


_PLAIN: dict[str, Any] = {"str": str, "bool": bool, "int": int, "float": (int, float), "object": object}


@cache
def operations() -> dict[tuple[str, str], set[str]]:
    """Method and path of every operation that the published client knows, and its query parameters."""
    found: dict[tuple[str, str], set[str]] = {}
    for name in dir(apis):
        for method, function in inspect.getmembers(getattr(apis, name), inspect.isfunction):
            if not method.endswith("_with_http_info"):
                continue
            source = inspect.getsource(function)
            called = re.search(r"call_api\(\s*'/apis/v2beta1([^']*)', '([A-Z]+)'", source)
            if called is not None:
                pattern = re.sub(r"\{[^}]*\}", "[^/:]+", called[1])
                query = set(re.findall(r"query_params\.append\(\('([^']+)'", source))
                found[called[2], pattern] = query
    assert len(found) > 30
    return found


def check_request(method: str, path: str, asked: dict[str, str]) -> None:
    """There is such an operation, and it takes these query parameters."""
    for (verb, pattern), query in operations().items():
        if verb == method and re.fullmatch(pattern, path):
            assert set(asked) <= query, f"{method} {path} takes no {set(asked) - query}"
            return
    raise AssertionError(f"{method} {path} is not in the API")


class KfpServer:
    """Pipelines, experiments and runs in memory, behind real HTTP on loopback.

    ``wrong`` holds what was not as the API has it; ``close`` fails on it.
    """

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.recurring: list[dict[str, Any]] = []
        self.experiments: list[dict[str, Any]] = []
        self.pipelines: dict[str, dict[str, Any]] = {
            "p1": {"pipeline_id": "p1", "display_name": "serinus-training", "name": "serinus-training"}
        }
        self.versions: list[dict[str, Any]] = [self._version("v-new"), self._version("v-old")]
        self.uploads: dict[str, bytes] = {}
        self.states: Callable[[dict[str, Any]], str] = lambda run: "SUCCEEDED"
        self.tasks: Callable[[dict[str, Any]], list[dict[str, Any]]] = lambda run: []
        self.refuse: list[int] = []
        self.lose_answer_of_create = False
        self.terminated: list[str] = []
        self.tokens: set[str] = set()
        self.wrong: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def _answer(self) -> None:
                outer.tokens.add(self.headers.get("Authorization", ""))
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    body = _body(self.headers.get("Content-Type", ""), raw)
                    status, answer = outer.answer(self.command, self.path, body)
                except AssertionError as error:
                    outer.wrong.append(str(error))
                    status, answer = 400, {"message": str(error)}
                if status == 0:
                    self.connection.close()
                    return
                written = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(written)))
                self.end_headers()
                self.wfile.write(written)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its own name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert self.wrong == []

    def answer(self, method: str, target: str, body: Any) -> tuple[int, dict[str, Any]]:
        path, _, query = target.removeprefix("/apis/v2beta1").partition("?")
        asked = {k: v[0] for k, v in urllib.parse.parse_qs(query).items()}
        check_request(method, path, asked)
        if self.refuse:
            return self.refuse.pop(0), {"message": "try later"}
        match method, path.strip("/").split("/"):
            case "GET", ["pipelines", "names", name]:
                for pipeline in self.pipelines.values():
                    if pipeline["name"] == urllib.parse.unquote(name):
                        return self._say(pipeline, "V2beta1Pipeline")
                return 404, {"message": f"pipeline {name} not found"}
            case "POST", ["pipelines"]:
                check(body, "V2beta1Pipeline")
                if any(pipeline["name"] == body["name"] for pipeline in self.pipelines.values()):
                    return 409, {"message": f"the name {body['name']} already exists"}
                identity = f"p{len(self.pipelines) + 1}"
                self.pipelines[identity] = {**body, "pipeline_id": identity}
                return self._created(self.pipelines[identity], "V2beta1Pipeline")
            case "POST", ["pipelines", "upload_version"]:
                assert isinstance(body, bytes), "a file is uploaded"
                assert asked["pipelineid"] in self.pipelines
                if any(v["display_name"] == asked["name"] for v in self._of(asked["pipelineid"])):
                    return 409, {"message": "the version is there already"}
                self.versions.insert(0, self._version(asked["name"], asked["pipelineid"]))
                self.uploads[asked["name"]] = body
                return self._created(self.versions[0], "V2beta1PipelineVersion")
            case "GET", ["pipelines", identity, "versions"]:
                found = _filtered(self._of(identity), asked)[: int(asked["page_size"])]
                return self._say({"pipeline_versions": found}, "V2beta1ListPipelineVersionsResponse")
            case "GET", ["experiments"]:
                found = _filtered(self.experiments, asked)
                return self._say({"experiments": found}, "V2beta1ListExperimentsResponse")
            case "POST", ["experiments"]:
                check(body, "V2beta1Experiment")
                self.experiments.append({**body, "experiment_id": "e1"})
                return self._say(self.experiments[-1], "V2beta1Experiment")
            case "GET", ["runs"]:
                assert asked["experiment_id"] == "e1"
                return self._say({"runs": self._seen(_filtered(self.runs, asked))}, "V2beta1ListRunsResponse")
            case "POST", ["runs"]:
                check(body, "V2beta1Run")
                self.runs.append(
                    {**body, "run_id": f"r{len(self.runs) + 1}", "state": "PENDING", "looked_at": 0}
                )
                return self._created(self._seen([self.runs[-1]])[0], "V2beta1Run")
            case "GET", ["recurringruns"]:
                assert asked["experiment_id"] == "e1"
                found = {"recurringRuns": _filtered(self.recurring, asked)}
                return self._say(found, "V2beta1ListRecurringRunsResponse")
            case "POST", ["recurringruns"]:
                check(body, "V2beta1RecurringRun")
                identity = f"j{len(self.recurring) + 1}"
                self.recurring.append({**body, "recurring_run_id": identity, "status": "ENABLED"})
                return self._created(self.recurring[-1], "V2beta1RecurringRun")
            case "DELETE", ["recurringruns", identity]:
                self.recurring = [each for each in self.recurring if each["recurring_run_id"] != identity]
                return 200, {}
            case "POST", ["runs", action] if action.endswith(":terminate"):
                self.terminated.append(action.removesuffix(":terminate"))
                return 200, {}
            case "GET", ["runs", identity]:
                run = next(run for run in self.runs if run["run_id"] == identity)
                run["looked_at"] += 1
                run["state"] = self.states(run)
                failed = {"error": {"message": "the gate stopped it"}} if run["state"] == "FAILED" else {}
                details = {"run_details": {"task_details": self.tasks(run)}}
                return self._say({**self._seen([run])[0], **details, **failed}, "V2beta1Run")
            case _:
                raise AssertionError(f"the stand-in does not know {method} {path}")

    def _created(self, value: dict[str, Any], kind: str) -> tuple[int, dict[str, Any]]:
        if self.lose_answer_of_create:
            self.lose_answer_of_create = False
            return 0, {}
        return self._say(value, kind)

    def _say(self, value: dict[str, Any], kind: str) -> tuple[int, dict[str, Any]]:
        check(value, kind)
        return 200, value

    def _seen(self, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in run.items() if key != "looked_at"} for run in runs]

    def _of(self, pipeline: str) -> list[dict[str, Any]]:
        return [version for version in self.versions if version["pipeline_id"] == pipeline]

    def _version(self, name: str, pipeline: str = "p1") -> dict[str, Any]:
        return {"pipeline_version_id": name, "display_name": name, "name": name, "pipeline_id": pipeline}


def _body(kind: str, raw: bytes) -> Any:
    if not kind.startswith("multipart/form-data"):
        return json.loads(raw) if raw else {}
    boundary = kind.partition("boundary=")[2].encode()
    part = raw.split(b"--" + boundary)[1]
    head, _, content = part.partition(b"\r\n\r\n")
    assert b'name="uploadfile"' in head
    return content.removesuffix(b"\r\n")


def _filtered(items: list[dict[str, Any]], asked: dict[str, str]) -> list[dict[str, Any]]:
    if "filter" not in asked:
        return items
    wanted = json.loads(asked["filter"])
    check(wanted, "V2beta1Filter")
    (predicate,) = wanted["predicates"]
    return [item for item in items if item[predicate["key"]] == predicate["string_value"]]
