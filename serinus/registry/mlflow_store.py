"""MLflow as the catalogue that a bank's people already look into. The only module that imports its client.

The import takes seconds, so it is made where a version is told of and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Generator
from datetime import datetime
from typing import Any

from serinus.errors import SerinusError
from serinus.registry.catalogue import ALIASES, Entry, Told

URI = "MLFLOW_TRACKING_URI"
_FOLDER = "bundle"
_LONGEST = 300  # characters of MLflow's own words in an error; a proxy's page has thousands
_EXPERIMENT = {
    # The pages of MLflow 3 for models with figures, not those for chat.
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "Every registered version is a run. Kept by serinus; what is changed here is not read back.",
}
_QUIET = {
    # Seconds and tries of one request: a server that is away must not hold up a pipeline for minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Whom our users tell what is theirs to say.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


class MlflowCatalogue:
    """The tracking server and registry at a URI (``http://…``, ``sqlite:///…``, a directory).

    Raises:
        SerinusError: ``SRN-MLFLOW-001`` the client is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow.tracking import MlflowClient
        except ModuleNotFoundError as error:
            raise _absent(uri, error.name or "mlflow") from error
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        with self._answering():
            self._client: Any = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def tell(self, entry: Entry) -> Told:
        """Make what MLflow shows equal to the entry; a try that broke off is gone on with.

        Raises:
            SerinusError: ``SRN-MLFLOW-002`` it does not answer, or refuses.
        """
        with self._answering():
            run, artifacts = self._run(entry)
            number = self._version(entry, run, artifacts)
            self._state(entry, number)
        return Told(run=run, number=number)

    def _run(self, entry: Entry) -> tuple[str, str]:
        client = self._client
        found = client.get_experiment_by_name(entry.model)
        experiment = found.experiment_id if found else client.create_experiment(entry.model, tags=_EXPERIMENT)
        digest = f"tags.`serinus.digest` = '{entry.digest}'"
        known = client.search_runs([experiment], filter_string=digest, max_results=1)
        run = known[0] if known else self._new_run(experiment, entry)
        if run.info.status == "RUNNING":
            self._fill(run.info.run_id, entry)
        return run.info.run_id, run.info.artifact_uri

    def _new_run(self, experiment: str, entry: Entry) -> Any:
        return self._client.create_run(
            experiment, start_time=_milliseconds(entry), run_name=entry.run_name, tags=entry.run_tags
        )

    def _fill(self, run: str, entry: Entry) -> None:
        from mlflow.entities import Metric, Param

        at = _milliseconds(entry)
        params = [Param(name, value) for name, value in entry.params.items()]
        metrics = [Metric(name, value, at, 0) for name, value in entry.metrics.items()]
        # The server takes so many at a time.
        for i in range(0, len(params), 100):
            self._client.log_batch(run, params=params[i : i + 100])
        for i in range(0, len(metrics), 1000):
            self._client.log_batch(run, metrics=metrics[i : i + 1000])
        if entry.data.digest:
            self._client.log_inputs(run, datasets=[_dataset(entry)])
        for paper in entry.papers:
            self._client.log_artifact(run, paper, _FOLDER)
        self._client.set_terminated(run, end_time=at)

    def _version(self, entry: Entry, run: str, artifacts: str) -> str:
        from mlflow.exceptions import MlflowException

        client = self._client
        try:
            client.create_registered_model(entry.model, entry.model_tags, entry.about_model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        mine = [v for v in client.search_model_versions(f"run_id = '{run}'") if v.name == entry.model]
        if mine:
            return str(mine[0].version)
        made = client.create_model_version(entry.model, f"{artifacts}/{_FOLDER}", run, tags=entry.tags)
        return str(made.version)

    def _state(self, entry: Entry, number: str) -> None:
        client = self._client
        client.update_registered_model(entry.model, entry.about_model)
        for name, value in entry.model_tags.items():
            client.set_registered_model_tag(entry.model, name, value)
        client.update_model_version(entry.model, number, entry.about)
        shown = client.get_model_version(entry.model, number)
        for name, value in entry.tags.items():
            if shown.tags.get(name) != value:
                client.set_model_version_tag(entry.model, number, name, value)
        for name in [n for n in shown.tags if n.startswith("serinus.") and n not in entry.tags]:
            client.delete_model_version_tag(entry.model, number, name)
        aliases = client.get_registered_model(entry.model).aliases
        for alias in ALIASES:
            holds = str(aliases.get(alias, "")) == number
            if alias in entry.aliases and not holds:
                client.set_registered_model_alias(entry.model, alias, number)
            elif alias not in entry.aliases and holds:
                client.delete_registered_model_alias(entry.model, alias)

    @contextlib.contextmanager
    def _answering(self) -> Generator[None]:
        try:
            yield
        except ModuleNotFoundError as error:  # sqlite and files need the whole of MLflow
            raise _absent(self.uri, error.name or "mlflow") from error
        except SerinusError:
            raise
        except Exception as error:  # requests', MLflow's and its stores' errors have nothing in common
            text = str(error).replace(self.uri, without_password(self.uri))
            raise SerinusError(
                "SRN-MLFLOW-002",
                f"MLflow did not take it ({type(error).__name__}: {beginning(text)})",
                where=without_password(self.uri),
                hint="The registration stands; it is told again by `serinus registry sync`, which cron may run. Check "
                f"{URI}, the server, and MLFLOW_TRACKING_USERNAME or _TOKEN where it asks for them.",
            ) from error


def beginning(text: str) -> str:
    """As much of a long text as an error may hold, on one line, ended behind a word."""
    line = " ".join(text.split())
    if len(line) <= _LONGEST:
        return line
    return f"{line[:_LONGEST].rpartition(' ')[0] or line[:_LONGEST]} …"


def _dataset(entry: Entry) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = entry.data
    profile = {"num_rows": data.rows, "digest": data.digest, "first": data.first, "last": data.last}
    return DatasetInput(
        Dataset(
            name=f"{entry.model} records",
            digest=data.digest.removeprefix("sha256:")[:32],  # the server's column holds 36
            source_type="serinus",
            source=json.dumps({"uri": data.source}),
            profile=json.dumps(profile),
        ),
        [InputTag("mlflow.data.context", "training")],
    )


def _milliseconds(entry: Entry) -> int:
    return int(datetime.fromisoformat(entry.created).timestamp() * 1000)


def without_password(uri: str) -> str:
    """The URI without a password in it."""
    scheme, found, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else uri


def _absent(uri: str, package: str) -> SerinusError:
    server = uri.startswith(("http://", "https://", "databricks"))
    wanted = "serinus[mlflow]" if server else "mlflow"
    return SerinusError(
        "SRN-MLFLOW-001",
        f"{URI} is set, and the Python package {package} is not installed",
        where=without_password(uri),
        hint=f"Install it (pip install '{wanted}'), or unset {URI}. The registration stands; "
        "`serinus registry sync` tells of it later.",
    )
