"""What serinus asks of a KFP server.

CreateRun and its kin have no idempotency key. A thing is therefore known by its display
name: it is looked for before it is created, and again where the answer to its creation
was lost, so that no request that came late starts a second one.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from serinus.errors import SerinusError
from serinus.kfp.server import Answer, Server

DONE = frozenset(("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"))
"""The states in which a run stays."""

_KEYS = {"recurringruns": "recurringRuns"}  # where the API's list is not called as its path


class KfpError(SerinusError):
    """``SRN-KFP-003`` no answer, ``-004`` refused, ``-005`` something is not there."""


class Stopped(Exception):  # noqa: N818  an outcome, not a defect
    """The waiting was ended by whoever waits."""


class KfpClient:
    """Pipelines, experiments and runs of one server.

    Args:
        server: the API server.
        namespace: where the server has several users.
        pause: seconds between two tries.
        patience: seconds for which the server may be unreachable.
        wait: waits for some seconds; true where the program is to end.
    """

    def __init__(
        self,
        server: Server,
        *,
        namespace: str = "",
        pause: float = 5.0,
        patience: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._pause = pause
        self._patience = patience
        self._clock = clock
        self.wait = wait or _sleep

    # --- pipelines ---------------------------------------------------------

    def pipeline(self, name: str) -> str:
        """The id of a pipeline. Raises ``KfpError``."""
        return str(self.ask("GET", f"/pipelines/names/{_quoted(name)}" + self._query({}))["pipeline_id"])

    def version(self, pipeline: str, name: str = "") -> str | None:
        """The id of a pipeline's version by its name, or of the latest; None if there is none."""
        query = {"page_size": "1", "sort_by": "created_at desc"}
        if name:
            query["filter"] = named(name)
        path = f"/pipelines/{_quoted(pipeline)}/versions?" + urllib.parse.urlencode(query)
        found = self.ask("GET", path).get("pipeline_versions") or []
        return str(found[0]["pipeline_version_id"]) if found else None

    def upload(self, pipeline: str, version: str, content: bytes) -> tuple[str, str, bool]:
        """Publish a compiled pipeline: ids of pipeline and version, and whether the version is new.

        Args:
            pipeline: its name; made if there is none.
            version: its name; a version of this name is taken for this content.
        """
        path = f"/pipelines/names/{_quoted(pipeline)}" + self._query({})
        answer = self.call("GET", path)
        if answer.status == 404:
            body = {"name": pipeline, "display_name": pipeline} | self._named_space()
            answer = self.call("POST", "/pipelines", body)
            if answer.status == 409:  # another was quicker
                answer = self.call("GET", path)
        identity = str(self.sound("GET", path, answer)["pipeline_id"])
        if (known := self.version(identity, version)) is not None:
            return identity, known, False
        query = {"name": version, "display_name": version, "pipelineid": identity}
        path = "/pipelines/upload_version"
        made = self.call("POST", f"{path}?" + urllib.parse.urlencode(query), content)
        if made.status == 409 and (known := self.version(identity, version)) is not None:
            return identity, known, False  # another was quicker, or an answer was lost
        return identity, str(self.sound("POST", path, made)["pipeline_version_id"]), True

    # --- experiments and what runs in them ---------------------------------

    def experiment(self, name: str, description: str) -> str:
        """The id of an experiment, made if there is none."""
        found = self.find("experiments", name)
        if found is None:
            body = {"display_name": name, "description": description} | self._named_space()
            answer = self.call("POST", "/experiments", body)
            if answer.status == 409:  # another was quicker
                found = self.find("experiments", name)
            else:
                found = self.sound("POST", "/experiments", answer)
        if found is None:
            raise _absent(f"the experiment {name} can be neither made nor found")
        return str(found["experiment_id"])

    def find(self, kind: str, name: str, **query: str) -> dict[str, Any] | None:
        """The first of a kind (``experiments``, ``runs``, ``recurringruns``) by its display name."""
        given = {"filter": named(name), "page_size": "2", **query}
        found = self.ask("GET", f"/{kind}" + self._query(given))
        items: list[dict[str, Any]] = found.get(_KEYS.get(kind, kind)) or []
        return items[0] if items else None

    def create(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a run or recurring run that was not found before."""
        return self.ask("POST", f"/{kind}", body)

    def run(self, identity: str) -> dict[str, Any]:
        """A run as it stands."""
        return self.ask("GET", f"/runs/{_quoted(identity)}")

    def terminate(self, identity: str) -> None:
        """End a run."""
        self.call("POST", f"/runs/{_quoted(identity)}:terminate")

    # --- asking ------------------------------------------------------------

    def ask(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> dict[str, Any]:
        """The body of a sound answer. Raises ``KfpError``."""
        return self.sound(method, path, self.call(method, path, body))

    def sound(self, method: str, path: str, answer: Answer) -> dict[str, Any]:
        """The answer's body, if it is not a refusal."""
        if answer.status >= 300:
            message = answer.body.get("message") or answer.body.get("error_message") or "no reason given"
            raise KfpError(
                "SRN-KFP-004",
                f"the KFP server refused {method} {path.partition('?')[0]} ({answer.status}): {str(message)[:300]}",
                hint="Its own words are the reason; 401 and 403 mean that the token or namespace may not do this.",
            )
        return answer.body

    def call(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> Answer:
        """Ask until there is an answer. Asking to create is not repeated blindly: the
        thing may exist although its answer was lost, so it is looked for first."""
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
                raise KfpError(
                    "SRN-KFP-003",
                    f"the KFP server cannot be reached: {trouble}",
                    hint="Check the URL and the network; what was asked for before is done, and asking again finds it.",
                )
            if self.wait(self._pause):
                raise Stopped
            if method == "POST" and isinstance(body, Mapping) and "experiment_id" in body:
                kind = path.strip("/")
                found = self.find(kind, str(body["display_name"]), experiment_id=str(body["experiment_id"]))
                if found is not None:
                    return Answer(200, found)

    def _query(self, query: dict[str, str]) -> str:
        if "experiment_id" not in query:
            query = query | self._named_space()
        return "?" + urllib.parse.urlencode(query) if query else ""

    def _named_space(self) -> dict[str, str]:
        return {"namespace": self._namespace} if self._namespace else {}


def named(name: str) -> str:
    """The API's filter for a display name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return msgspec.json.encode({"predicates": [predicate]}).decode()


def _absent(what: str) -> KfpError:
    return KfpError("SRN-KFP-005", what, hint="Check its name and the namespace on the KFP server.")


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
