"""Starting the compiled pipeline on a KFP server: once, on a schedule, or for an alert.

What is asked for twice is done once. A run's name follows from what it is: the published
version and its parameters, or the alert; a run of that name is found instead of started.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any, Literal

import msgspec

from serinus.alerts import Alert
from serinus.errors import SerinusError
from serinus.kfp import DONE, KfpClient

_PINNED = re.compile(r"@sha256:[0-9a-f]{64}$")
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,?-]+")


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline: its bytes, its name, the version's name (by content), its parameters."""

    content: bytes
    name: str
    version: str
    required: frozenset[str]
    known: frozenset[str]


@dataclass(frozen=True)
class Submission:
    """What is to run.

    ``about`` begins the names of runs: the model. ``parameters`` are the pipeline's, less ``run``.
    """

    compiled: Compiled
    about: str
    parameters: Mapping[str, Any]
    experiment: str = "serinus"
    name: str = ""
    service_account: str = ""
    pipeline_root: str = ""
    description: str = ""


@dataclass(frozen=True)
class Submitted:
    """What is on the server now; ``created`` is False for what was there before."""

    kind: Literal["run", "recurring run"]
    name: str
    id: str
    created: bool
    pipeline: str
    version: str
    state: str = ""
    error: str = ""
    tasks: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a script."""
        return dict(vars(self))


def read_compiled(path: Path, *, allow_tag: bool = False) -> Compiled:
    """A compiled pipeline from its file.

    Raises:
        SerinusError: ``SRN-KFP-006`` it cannot be read or is no compiled pipeline;
            ``SRN-PIPELINE-040`` an image is not given by digest.
    """
    import yaml

    try:
        content = path.read_bytes()
        spec = next(iter(yaml.load_all(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))))
        inputs: dict[str, Any] = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        executors: dict[str, Any] = spec["deploymentSpec"]["executors"]
        images = {str(executor["container"]["image"]) for executor in executors.values()}
        name = str(spec["pipelineInfo"]["name"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, StopIteration) as error:
        why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise SerinusError(
            "SRN-KFP-006",
            f"it is no compiled pipeline ({' '.join(str(why).split())[:200]})",
            where=str(path),
            hint="Write one with `serinus pipeline compile`.",
        ) from error
    loose = sorted(image for image in images if not _PINNED.search(image))
    if loose and not allow_tag:
        raise SerinusError(
            "SRN-PIPELINE-040",
            f"the image {loose[0]} is not given by digest, so what a run executes could change behind its name",
            where=str(path),
            hint="Compile it again with --image NAME@sha256:…, or --allow-tag for trying out.",
        )
    return Compiled(
        content,
        name,
        f"ir-{hashlib.sha256(content).hexdigest()[:16]}",
        frozenset(
            key
            for key, value in inputs.items()
            if "defaultValue" not in value and not value.get("isOptional")
        ),
        frozenset(inputs),
    )


def check_parameters(submission: Submission) -> None:
    """Raises SerinusError: ``SRN-KFP-007`` a parameter is missing, or there is none of its name."""
    given = {*submission.parameters, "run"}
    wrong = [f"{name} is missing" for name in sorted(submission.compiled.required - given)]
    wrong += [f"there is no {name}" for name in sorted(given - submission.compiled.known - {"run"})]
    if wrong:
        raise SerinusError(
            "SRN-KFP-007",
            "the parameters do not fit the pipeline: " + "; ".join(wrong),
            where=submission.compiled.name,
            hint="It takes " + ", ".join(sorted(submission.compiled.known)) + ".",
        )


def submit_run(client: KfpClient, submission: Submission, *, again: bool = False) -> Submitted:
    """Start the run, or find it.

    Args:
        again: start another although one of the same name is there; it gets a number.

    Raises:
        SerinusError: ``SRN-KFP-008`` a run of this name has other parameters; those of the client.
    """
    check_parameters(submission)
    pipeline, version, _ = _publish(client, submission)
    experiment = client.experiment(submission.experiment, "Models trained by serinus.")
    name = submission.name or f"{submission.about}-{_digest(submission)}"
    found = client.find("runs", name, experiment_id=experiment)
    if found is not None and again:
        name = _next_name(client, name, experiment)
        found = None
    wanted = _body(submission, name, experiment, pipeline, version, {"run": name})
    if found is not None:
        _same(found, wanted, "run")
        # The list may lag behind; the run itself says where it stands.
        return _told("run", client.run(str(found["run_id"])), submission, created=False)
    return _told("run", client.create("runs", wanted), submission, created=True)


def submit_alert(
    client: KfpClient, submission: Submission, alert: Alert, *, again: bool = False
) -> Submitted:
    """Start the run that an alert asks for, or find it: one for each time that the alert fires."""
    began = re.sub(r"[^0-9]", "", alert.starts_at)[:14]
    name = submission.name or f"{submission.about}-alert-{alert.fingerprint}-{began}"
    return submit_run(client, replaced(submission, name=name, description=alert.reason), again=again)


def submit_recurring(
    client: KfpClient, submission: Submission, cron: str, *, replace: bool = False
) -> Submitted:
    """Make the recurring run, or find it: one at a time, and what was missed is not caught up with.

    Args:
        cron: five fields, or six with the seconds first; the server's time zone, mostly UTC.
        replace: put this in the place of one of the same name that is different.

    Raises:
        SerinusError: ``SRN-KFP-008`` one of this name is different; ``SRN-KFP-009`` the cron expression is
            none; those of the client.
    """
    schedule = read_cron(cron)
    check_parameters(submission)
    pipeline, version, _ = _publish(client, submission)
    experiment = client.experiment(submission.experiment, "Models trained by serinus.")
    name = submission.name or f"{submission.about}-recurring"
    # KFP puts the time of each run in the place of its macro (common/util/parameter_formatter.go).
    each = {"run": f"{name}-[[ScheduledTime]]"}
    wanted = _body(submission, name, experiment, pipeline, version, each) | {
        "trigger": {"cron_schedule": {"cron": schedule}},
        "max_concurrency": "1",
        "no_catchup": True,
        "mode": "ENABLE",
    }
    found = client.find("recurringruns", name, experiment_id=experiment)
    if found is not None:
        try:
            _same(found, wanted, "recurring run")
            return _told("recurring run", found, submission, created=False)
        except SerinusError:
            if not replace:
                raise
        # The API cannot change one. Between the two there is none, which loses a run at most;
        # the other way round there could be two at once.
        client.ask("DELETE", f"/recurringruns/{found['recurring_run_id']}")
    return _told("recurring run", client.create("recurringruns", wanted), submission, created=True)


def follow(
    client: KfpClient,
    run: Submitted,
    *,
    poll: float,
    timeout: float,
    clock: Callable[[], float],
    tell: Callable[[str, str], None],
) -> Submitted:
    """Wait for the run's end. ``tell`` hears each change: a task (or empty: the run) and its state.

    Raises:
        SerinusError: ``SRN-KFP-010`` it takes longer than ``timeout`` seconds (it goes on); those of the client.
    """
    began, states = clock(), dict[str, str]()
    while True:
        found = client.run(run.id)
        now = {"": str(found.get("state", "")), **_tasks(found)}
        for task, state in now.items():
            if state and states.get(task) != state:
                tell(task, state)
        states |= now
        if now[""] in DONE:
            error = found.get("error")
            why = str(error.get("message", "")) if isinstance(error, dict) else ""
            tasks = {task: state for task, state in states.items() if task}
            return replaced(run, state=now[""], error=why, tasks=tasks)
        if clock() - began > timeout:
            raise SerinusError(
                "SRN-KFP-010",
                f"the run {run.name} takes longer than {timeout:g} s; it goes on",
                where=f"run {run.id}",
                hint="Submit the same again with --wait to go on waiting: the run is found, not started anew.",
            )
        client.wait(poll)


def read_cron(text: str) -> str:
    """A cron expression as KFP wants it: six fields, the seconds first. Raises SerinusError: ``SRN-KFP-009``."""
    if re.fullmatch(r"@(hourly|daily|weekly|monthly|yearly|annually|midnight|every \d+[hms])", text):
        return text
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6 or not all(_CRON_FIELD.fullmatch(part) for part in fields):
        raise SerinusError(
            "SRN-KFP-009",
            f"{text!r} is not a cron expression",
            where="--cron",
            hint="Give minute, hour, day, month and weekday, such as '0 3 * * 1' (Mondays at 3), or six fields with "
            "the seconds first.",
        )
    return " ".join(fields)


def _publish(client: KfpClient, submission: Submission) -> tuple[str, str, bool]:
    compiled = submission.compiled
    return client.upload(compiled.name, compiled.version, compiled.content)


def _digest(submission: Submission) -> str:
    """What two runs have in common that are the same run: the pipeline's content and every parameter."""
    what = [submission.compiled.version, dict(submission.parameters)]
    return hashlib.sha256(msgspec.json.encode(what, order="deterministic")).hexdigest()[:12]


def _body(
    submission: Submission,
    name: str,
    experiment: str,
    pipeline: str,
    version: str,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    config: dict[str, Any] = {"parameters": {**submission.parameters, **more}}
    if submission.pipeline_root:
        config["pipeline_root"] = submission.pipeline_root
    body: dict[str, Any] = {
        "display_name": name,
        "experiment_id": experiment,
        "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
        "runtime_config": config,
    }
    if submission.description:
        body["description"] = submission.description
    if submission.service_account:
        body["service_account"] = submission.service_account
    return body


def _same(found: Mapping[str, Any], wanted: Mapping[str, Any], kind: str) -> None:
    """Raises ``SRN-KFP-008`` where what is there is not what is wanted."""
    pairs = {
        "the pipeline's version": ("pipeline_version_reference", "pipeline_version_id"),
        "the schedule": ("trigger", "cron_schedule", "cron"),
        "no_catchup": ("no_catchup",),
        "max_concurrency": ("max_concurrency",),
    }
    other = [
        what
        for what, way in pairs.items()
        if way[0] in wanted and str(_at(found, way)) != str(_at(wanted, way))
    ]
    there, mine = (_at(x, ("runtime_config", "parameters")) or {} for x in (found, wanted))
    other += [f"parameter {key}" for key in sorted({*there, *mine}) if there.get(key) != mine.get(key)]
    if other:
        hint = (
            "Give another --run-name, or --replace."
            if kind == "recurring run"
            else "Give another --run-name."
        )
        raise SerinusError(
            "SRN-KFP-008",
            f"a {kind} of this name is there and differs in {', '.join(other)}; nothing was started",
            where=str(found.get("display_name", "")),
            hint=hint,
        )


def _at(value: Any, way: tuple[str, ...]) -> Any:
    for key in way:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _next_name(client: KfpClient, name: str, experiment: str) -> str:
    number = 2
    while client.find("runs", f"{name}-{number}", experiment_id=experiment) is not None:
        number += 1
    return f"{name}-{number}"


def _tasks(run: Mapping[str, Any]) -> dict[str, str]:
    details = _at(run, ("run_details", "task_details")) or []
    return {
        str(task.get("display_name", "")): str(task.get("state", ""))
        for task in details
        # The server lists its own helpers too.
        if task.get("display_name")
        and not str(task["display_name"]).endswith(("-driver", "executor", "root"))
    }


def _told(
    kind: Literal["run", "recurring run"], found: Mapping[str, Any], submission: Submission, *, created: bool
) -> Submitted:
    key = "run_id" if kind == "run" else "recurring_run_id"
    return Submitted(
        kind,
        str(found.get("display_name", "")),
        str(found[key]),
        created,
        submission.compiled.name,
        submission.compiled.version,
        str(found.get("state") or found.get("status") or ""),
    )
