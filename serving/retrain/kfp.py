"""Running the pipeline on a Kubeflow Pipelines server.

A run is found again by its display name, which is the receiver's own run id, so a
receiver that was restarted, or a request that was answered too late, never
starts a second one.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from serinus.kfp import DONE, KfpClient, KfpError, Server, Stopped
from serving.retrain.runner import RunFailed, RunStopped

_PLACEHOLDER = re.compile(r"\{(model|reason|run)\}")


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
        self._pipeline = pipeline
        self._version = version
        self._experiment = experiment
        self._parameters = dict(parameters or {})
        self._service_account = service_account
        self._poll = poll
        self._timeout = timeout
        self._clock = clock
        self._stopping = threading.Event()
        self._client = KfpClient(
            server,
            namespace=namespace,
            pause=min(poll, 5.0),
            patience=patience,
            clock=clock,
            wait=wait or self._stopping.wait,
        )

    def run(self, *, run: str, model: str, reason: str) -> dict[str, Any] | None:
        """Start the run, or find it if it was started before, and follow it to its end."""
        fields = {"run": run, "model": model, "reason": reason}
        try:
            experiment = self._client.experiment(self._experiment, "Retraining started by alerts.")
            found = self._client.find("runs", run, experiment_id=experiment)
            return self._follow(str((found or self._create(fields, experiment))["run_id"]))
        except Stopped:
            raise RunStopped("the receiver is shutting down") from None
        except KfpError as error:
            raise RunFailed(error.what) from error

    def stop(self) -> None:
        """Look no more. Runs on the server go on: a restarted receiver finds them again."""
        self._stopping.set()

    # --- starting ----------------------------------------------------------

    def _create(self, fields: Mapping[str, str], experiment: str) -> dict[str, Any]:
        pipeline = self._client.pipeline(self._pipeline)
        version = self._client.version(pipeline, self._version)
        if version is None:
            wanted = f"no version {self._version!r}" if self._version else "no version"
            raise RunFailed(f"the pipeline {self._pipeline} has {wanted} on the KFP server")
        body: dict[str, Any] = {
            "display_name": fields["run"],
            "description": fields["reason"],
            "experiment_id": experiment,
            "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
            "runtime_config": {"parameters": {k: _fill(v, fields) for k, v in self._parameters.items()}},
        }
        if self._service_account:
            body["service_account"] = self._service_account
        return self._client.create("runs", body)

    # --- following ---------------------------------------------------------

    def _follow(self, run: str) -> dict[str, Any]:
        started = self._clock()
        while True:
            found = self._client.run(run)
            state = str(found.get("state", ""))
            if state in DONE:
                return self._ended(run, state, found)
            if self._clock() - started > self._timeout:
                self._client.terminate(run)
                raise RunFailed(f"KFP run {run} took more than {self._timeout:g} s and was terminated")
            if self._client.wait(self._poll):
                raise RunStopped(f"the receiver is shutting down; KFP run {run} goes on")

    def _ended(self, run: str, state: str, found: Mapping[str, Any]) -> dict[str, Any]:
        if state == "SUCCEEDED":
            return {"kfp_run_id": run, "state": state, "finished_at": found.get("finished_at")}
        error = found.get("error")
        why = error.get("message") if isinstance(error, dict) else None
        raise RunFailed(f"KFP run {run} ended as {state}" + (f": {str(why)[:300]}" if why else ""))


def _fill(value: Any, fields: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    # In one pass: what an alert says is never read for placeholders itself.
    return _PLACEHOLDER.sub(lambda found: fields[found[1]], value)
