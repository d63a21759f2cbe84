"""What a step's process is told of the run that it belongs to: by the environment, as KFP's pods are."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from serinus.lineage.types import Job

SWITCH = "SERINUS_LINEAGE"
"""``off`` records nothing and sends nothing."""
CONTEXT = "SERINUS_LINEAGE_CONTEXT"
"""A ``Context`` as JSON."""
RUN = "SERINUS_LINEAGE_RUN"
"""The pipeline run's id where only the cluster knows it (the pod's label)."""
NAMESPACE = "OPENLINEAGE_NAMESPACE"
"""Namespace of jobs and datasets, by the name that OpenLineage's integrations use."""
DEFAULT_NAMESPACE = "serinus"


class Code(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the code that ran is found: ``git`` and a commit, or ``oci`` and an image's digest."""

    type: str
    url: str
    version: str = ""
    repo: str = ""


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """The pipeline run around a step.

    Args:
        run: its run id; model: the name under which it registers, empty where only the contract says.
        name: of the run, as its directory and the registry have it.
        file: where events are kept; empty where a step sends its events itself.
        data: namespace and name of the records, where the step sees only a copy.
        nominal: when the run was due, ISO 8601.
        code: what ran.
        opens, closes: this step's start or end is that of the whole run, since nothing else tells of it.
        last_try: nobody runs the step again if it fails.
    """

    run: str = ""
    model: str = ""
    name: str = ""
    file: str = ""
    data: tuple[str, str] | None = None
    nominal: str = ""
    code: Code | None = None
    opens: bool = False
    closes: bool = False
    last_try: bool = False

    def to_environment(self) -> dict[str, str]:
        """The variables that hand it to a process."""
        return {CONTEXT: msgspec.json.encode(self).decode()}


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether lineage is recorded at all."""
    return environment.get(SWITCH, "").strip().lower() not in ("off", "0", "false", "no")


def read_context(environment: Mapping[str, str] = os.environ) -> Context | None:
    """The context that the process was given; None if there is none, or it is not wanted."""
    text = environment.get(CONTEXT)
    if not text or not wanted(environment):
        return None
    try:
        given = msgspec.json.decode(text, type=Context)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return given if given.run else msgspec.structs.replace(given, run=environment.get(RUN, ""))


def namespace(environment: Mapping[str, str] = os.environ) -> str:
    """The namespace of this installation's jobs and datasets."""
    return environment.get(NAMESPACE, "").strip() or DEFAULT_NAMESPACE


def pipeline_job(model: str, where: str) -> Job:
    """The training pipeline of a model."""
    return Job(where, f"{model}.training")


def step_job(model: str, step: str, where: str) -> Job:
    """One step of it."""
    return Job(where, f"{model}.training.{step}")
