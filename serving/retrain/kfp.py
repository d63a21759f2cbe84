"""Running the pipeline on a Kubeflow Pipelines server, through its REST API (v2beta1).

Plain HTTP: a receiver need not carry the KFP SDK and its pinned libraries. A run
is found again by its display name, which is the receiver's own run id, so a
receiver that was restarted, or a request that was answered too late, never
starts a second one.
"""

from __future__ import annotations

import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from serinus.errors import SerinusError
from serving.retrain.runner import RunFailed, RunStopped

_API = "/apis/v2beta1"
_PLACEHOLDER = re.compile(r"\{(model|reason|run)\}")
_DONE = frozenset(("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"))


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer: status and decoded JSON body."""

    status: int
    body: dict[str, Any]


class Server(Protocol):
    """The KFP API server."""

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """One request below ``/apis/v2beta1``. Raises OSError if no answer came."""
        ...


class HttpServer:
    """A KFP API server at a URL.

    Args:
        url: for example ``http://ml-pipeline.kubeflow:8888``.
        token: file with a bearer token, read anew for each request, since
            Kubernetes renews projected tokens in place.
    """

    def __init__(self, url: str, token: Path | None = None, timeout: float = 30.0) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SerinusError(
                "SRN-RETRAIN-006",
                f"{url!r} is not the URL of a KFP server",
                where="--kfp-host",
                hint="Give its API server, for example http://ml-pipeline.kubeflow:8888.",
            )
        self._base = url.rstrip("/") + _API
        self._token = token
        self._timeout = timeout

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """One request; see ``Server``."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.read_text(encoding='utf-8').strip()}"
        data = msgspec.json.encode(body) if body is not None else None
        request = urllib.request.Request(self._base + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return Answer(answer.status, _object(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _object(error.read()))


class KfpRunner:
    """Starts a run of a published pipeline and waits for its end.

    Args:
        server: the API server.
        pipeline: display name of the pipeline; its latest version is run unless
            ``version`` names one.
        experiment: display name; created if there is none.
        parameters: of the run; ``{model}``, ``{reason}`` and ``{run}`` in text values are filled in.
        namespace: of the experiment and pipeline, where the server has several users.
        poll: seconds between two looks at a run.
        timeout: seconds after which a run is terminated and counts as failed.
        patience: seconds for which the server may be unreachable.
    """

    resumable = True

    def __init__(
        self,
        server: Server,
        pipeline: str,
        *,
        version: str = "",
        experiment: str = "serinus",
        parameters: Mapping[str, Any] | None = None,
        namespace: str = "",
        service_account: str = "",
        poll: float = 10.0,
        timeout: float = 6 * 3600.0,
        patience: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._server = server
        self._pipeline = pipeline
        self._version = version
        self._experiment = experiment
        self._parameters = dict(parameters or {})
        self._namespace = namespace
        self._service_account = service_account
        self._poll = poll
        self._timeout = timeout
        self._patience = patience
        self._clock = clock
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait

    def run(self, *, run: str, model: str, reason: str) -> dict[str, Any] | None:
        """Start the run, or find it if it was started before, and follow it to its end."""
        fields = {"run": run, "model": model, "reason": reason}
        experiment = self._experiment_id()
        identity = self._find_run(run, experiment) or self._create(fields, experiment)
        return self._follow(identity)

    def stop(self) -> None:
        """Look no more. Runs on the server go on: a restarted receiver finds them again."""
        self._stopping.set()

    # --- starting ----------------------------------------------------------

    def _create(self, fields: Mapping[str, str], experiment: str) -> str:
        pipeline, version = self._published()
        body: dict[str, Any] = {
            "display_name": fields["run"],
            "description": fields["reason"],
            "experiment_id": experiment,
            "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
            "runtime_config": {"parameters": {k: _fill(v, fields) for k, v in self._parameters.items()}},
        }
        if self._service_account:
            body["service_account"] = self._service_account
        return str(self._ask("POST", "/runs", body)["run_id"])

    def _published(self) -> tuple[str, str]:
        name = urllib.parse.quote(self._pipeline, safe="")
        found = self._ask("GET", f"/pipelines/names/{name}" + self._query({}))
        pipeline = str(found["pipeline_id"])
        query: dict[str, str] = {"page_size": "1", "sort_by": "created_at desc"}
        if self._version:
            query["filter"] = _named(self._version)
        path = f"/pipelines/{urllib.parse.quote(pipeline, safe='')}/versions?" + urllib.parse.urlencode(query)
        versions = self._ask("GET", path).get("pipeline_versions") or []
        if not versions:
            wanted = f"no version {self._version!r}" if self._version else "no version"
            raise RunFailed(f"the pipeline {self._pipeline} has {wanted} on the KFP server")
        return pipeline, str(versions[0]["pipeline_version_id"])

    def _experiment_id(self) -> str:
        found = self._list("experiments", self._experiment)
        if found is None:
            body = {"display_name": self._experiment, "description": "Retraining started by alerts."}
            if self._namespace:
                body["namespace"] = self._namespace
            answer = self._call("POST", "/experiments", body)
            if answer.status == 409:  # another receiver was quicker
                found = self._list("experiments", self._experiment)
            else:
                found = self._sound("POST", "/experiments", answer)
        if found is None:
            raise RunFailed(f"the experiment {self._experiment} can be neither made nor found")
        return str(found["experiment_id"])

    def _find_run(self, run: str, experiment: str) -> str | None:
        found = self._list("runs", run, experiment_id=experiment)
        return str(found["run_id"]) if found else None

    def _list(self, kind: str, name: str, **query: str) -> dict[str, Any] | None:
        found = self._ask(
            "GET", f"/{kind}" + self._query({"filter": _named(name), "page_size": "2", **query})
        )
        items: list[dict[str, Any]] = found.get(kind) or []
        return items[0] if items else None

    def _query(self, query: dict[str, str]) -> str:
        if self._namespace and "experiment_id" not in query:
            query = {**query, "namespace": self._namespace}
        return "?" + urllib.parse.urlencode(query) if query else ""

    # --- following ---------------------------------------------------------

    def _follow(self, run: str) -> dict[str, Any]:
        path = f"/runs/{urllib.parse.quote(run, safe='')}"
        started = self._clock()
        while True:
            found = self._ask("GET", path)
            state = str(found.get("state", ""))
            if state in _DONE:
                return self._ended(run, state, found)
            if self._clock() - started > self._timeout:
                self._call("POST", f"{path}:terminate")
                raise RunFailed(f"KFP run {run} took more than {self._timeout:g} s and was terminated")
            if self._wait(self._poll):
                raise RunStopped(f"the receiver is shutting down; KFP run {run} goes on")

    def _ended(self, run: str, state: str, found: Mapping[str, Any]) -> dict[str, Any]:
        if state == "SUCCEEDED":
            return {"kfp_run_id": run, "state": state, "finished_at": found.get("finished_at")}
        error = found.get("error")
        why = error.get("message") if isinstance(error, dict) else None
        raise RunFailed(f"KFP run {run} ended as {state}" + (f": {str(why)[:300]}" if why else ""))

    # --- asking ------------------------------------------------------------

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._sound(method, path, self._call(method, path, body))

    def _sound(self, method: str, path: str, answer: Answer) -> dict[str, Any]:
        if answer.status >= 300:
            message = answer.body.get("message") or answer.body.get("error_message") or "no reason given"
            where = path.partition("?")[0]
            raise RunFailed(
                f"the KFP server refused {method} {where} ({answer.status}): {str(message)[:300]}"
            )
        return answer.body

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Ask until there is an answer. Asking to create is not repeated blindly: the
        run may exist although its answer was lost, so it is looked for first."""
        started = self._clock()
        while True:
            try:
                answer = self._server.call(method, path, body)
                if answer.status not in (429, 502, 503, 504):
                    return answer
                trouble = f"status {answer.status}"
            except OSError as error:
                trouble = str(error)
            if self._clock() - started > self._patience:
                raise RunFailed(f"the KFP server cannot be reached: {trouble}")
            if self._wait(min(self._poll, 5.0)):
                raise RunStopped("the receiver is shutting down")
            if method == "POST" and path == "/runs" and body is not None:
                found = self._find_run(str(body["display_name"]), str(body["experiment_id"]))
                if found is not None:
                    return Answer(200, {"run_id": found})


class MemoryServer:
    """A KFP server of answers prepared by a function, for tests; remembers what was asked."""

    def __init__(self, answer: Callable[[str, str, Mapping[str, Any] | None], Answer]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str, Mapping[str, Any] | None]] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """The prepared answer."""
        self.asked.append((method, path, body))
        return self._answer(method, path, body)


def read_parameters(pairs: list[str]) -> dict[str, Any]:
    """``name=value`` pairs as run parameters; a value that is JSON (a number, true, a list) is one.

    Raises:
        SerinusError: ``SRN-RETRAIN-006`` for a pair without a name or ``=``.
    """
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SerinusError(
                "SRN-RETRAIN-006",
                f"{pair!r} is not name=value",
                where="--kfp-parameter",
                hint="For example --kfp-parameter name={model} --kfp-parameter reason={reason}.",
            )
        try:
            parameters[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            parameters[name] = value
    return parameters


def _fill(value: Any, fields: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    # In one pass: what an alert says is never read for placeholders itself.
    return _PLACEHOLDER.sub(lambda found: fields[found[1]], value)


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return msgspec.json.encode({"predicates": [predicate]}).decode()


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw) if raw else {}
    except msgspec.DecodeError:
        return {"message": raw[:200].decode("utf-8", "replace")}
    return body if isinstance(body, dict) else {"message": str(body)[:200]}
