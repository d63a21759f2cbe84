"""What a KFP server needs to know beyond the steps: image, resources, retries, caching, secrets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serinus.errors import SerinusError
from serinus.lineage.context import NAMESPACE, RUN, Code, Context
from serinus.storage import parse_location

HOME = "/var/lib/serinus"
SIGNING_KEYS = "/etc/serinus/signing"
REGISTRAR = "/etc/serinus/registrar"
UNCACHED = ("ingest", "register")
"""Ingest looks at the world, which may have changed behind the same name; register changes it. All between
is a function of its inputs."""
MEETS_STORAGE = ("ingest", "champion", "register")
"""They read or write what lies outside: records, the champion's bundle, the new one."""
NOT_TRIED_AGAIN = ("gate",)
"""A verdict is not appealed against."""
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
MLFLOW_KEYS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
S3_KEYS_OPTIONAL = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SESSION_TOKEN")

_PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:-]*(@sha256:[0-9a-f]{64})?")
_CPU = re.compile(r"\d+m|\d+(\.\d+)?")
_MEMORY = re.compile(r"\d+(Ki|Mi|Gi|Ti|K|M|G|T)")
_URL = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Resources:
    """CPU cores (``2``, ``500m``) and memory (``4Gi``); requested, and not exceeded."""

    cpu: str
    memory: str

    @property
    def threads(self) -> int:
        """Threads that so many cores keep busy, at least one."""
        cores = float(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(self.cpu)
        return max(1, math.ceil(cores))


DEFAULT_RESOURCES: Mapping[str, Resources] = {
    "ingest": Resources("1", "2Gi"),
    "validate": Resources("1", "2Gi"),
    "features": Resources("2", "4Gi"),
    "split": Resources("1", "2Gi"),
    "train": Resources("2", "4Gi"),
    "evaluate": Resources("2", "4Gi"),
    "fairness": Resources("1", "2Gi"),
    "explain": Resources("2", "4Gi"),
    "challenge": Resources("2", "4Gi"),
    "champion": Resources("2", "4Gi"),
    "latency": Resources("1", "2Gi"),
    "gate": Resources("500m", "1Gi"),
    "card": Resources("500m", "1Gi"),
    "register": Resources("1", "2Gi"),
}
"""For some millions of rows; the 1.75 million of the card data take less."""


@dataclass(frozen=True)
class Server:
    """How the steps are run on a KFP server.

    Args:
        image: of every step, by digest (``check`` tells).
        retries: of a step whose pod failed, with a growing pause from ``retry_pause``.
        timeout: seconds after which a step's pod is ended.
        s3_secret: secret with ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` (and ``AWS_ENDPOINT_URL``,
            ``AWS_REGION``, ``AWS_SESSION_TOKEN`` if needed), for the steps that read and write outside.
        signing_secret: secret with ``signing.pem``.
        home_claim: volume claim for the registry; without one it ends with the run.
        bundles: where bundles are put, the default of the run's parameter.
        pull_secret: for a private registry of images.
        lineage_url: where every step sends its OpenLineage events; lineage_namespace: of its jobs and datasets;
            lineage_secret: secret with ``OPENLINEAGE_API_KEY``.
        mlflow: URI of the MLflow server that is told of the version; mlflow_secret: secret with
            ``MLFLOW_TRACKING_TOKEN``, or ``MLFLOW_TRACKING_USERNAME`` and ``_PASSWORD``, where it asks for them.
        registrar: URL of the record keeper that is told of the version; registrar_secret: secret with ``ca.crt``, its
            authority, and ``token``, each where it is needed; registrar_token: file of the token in the step's pod,
            where it is not that of the pod's ServiceAccount.
    """

    image: str
    resources: Mapping[str, Resources] = field(default_factory=lambda: dict(DEFAULT_RESOURCES))
    retries: int = 2
    retry_pause: str = "30s"
    timeout: int = 6 * 3600
    s3_secret: str = ""
    signing_secret: str = ""
    home_claim: str = ""
    bundles: str = ""
    pull_secret: str = ""
    lineage_url: str = ""
    lineage_namespace: str = ""
    lineage_secret: str = ""
    mlflow: str = ""
    mlflow_secret: str = ""
    registrar: str = ""
    registrar_secret: str = ""
    registrar_token: str = ""

    @property
    def code(self) -> str:
        """What provenance says of the code: the image holds it, and its digest names it."""
        return json.dumps({"image": self.image}, separators=(",", ":"))

    def check(self, *, allow_tag: bool = False) -> None:
        """Raises SerinusError: ``SRN-PIPELINE-040`` the image has no digest; ``-041`` another setting is wrong."""
        wrong = [
            f"{what} {name!r} is not a name of Kubernetes"
            for what, name in (
                ("--s3-secret", self.s3_secret),
                ("--signing-secret", self.signing_secret),
                ("--home-claim", self.home_claim),
                ("--pull-secret", self.pull_secret),
                ("--lineage-secret", self.lineage_secret),
                ("--mlflow-secret", self.mlflow_secret),
                ("--registrar-secret", self.registrar_secret),
            )
            if name and not _NAME.fullmatch(name)
        ]
        if not _IMAGE.fullmatch(self.image):
            wrong.append(f"--image {self.image!r} is not a reference of an image")
        wrong += [
            f"--resources: there is no step {name}"
            for name in self.resources
            if name not in DEFAULT_RESOURCES
        ]
        if self.lineage_url and not _URL.fullmatch(self.lineage_url):
            wrong.append(f"--lineage-url {self.lineage_url!r} is not http(s)://host[:port][/path]")
        if (self.lineage_secret or self.lineage_namespace) and not self.lineage_url:
            wrong.append("--lineage-secret and --lineage-namespace go with --lineage-url")
        if self.mlflow and not _URL.fullmatch(self.mlflow):
            wrong.append(f"--mlflow {self.mlflow!r} is not http(s)://host[:port][/path]")
        if self.mlflow_secret and not self.mlflow:
            wrong.append("--mlflow-secret goes with --mlflow")
        if self.registrar and not _URL.fullmatch(self.registrar):
            wrong.append(f"--registrar {self.registrar!r} is not http(s)://host[:port][/path]")
        if (self.registrar_secret or self.registrar_token) and not self.registrar:
            wrong.append("--registrar-secret and --registrar-token go with --registrar")
        if self.registrar_token and not self.registrar_token.startswith("/"):
            wrong.append(f"--registrar-token {self.registrar_token!r} is not a file's whole path in the pod")
        if self.bundles:
            parse_location(self.bundles)
        if wrong:
            raise _wrong(wrong)
        if not allow_tag and not _PINNED.fullmatch(self.image):
            raise SerinusError(
                "SRN-PIPELINE-040",
                f"the image {self.image} is not given by digest, so what a run executes could change behind its name",
                where="--image",
                hint="Give NAME@sha256:… (`docker push` and the registry show it), or --allow-tag for trying out.",
            )


def read_resources(texts: list[str]) -> dict[str, Resources]:
    """``step=cpu/memory`` over the defaults. Raises SerinusError: ``SRN-PIPELINE-041``."""
    found = dict(DEFAULT_RESOURCES)
    for text in texts:
        step, _, amounts = text.partition("=")
        cpu, _, memory = amounts.partition("/")
        if step not in DEFAULT_RESOURCES or not _CPU.fullmatch(cpu) or not _MEMORY.fullmatch(memory):
            steps = ", ".join(DEFAULT_RESOURCES)
            raise _wrong(
                [f"--resources {text!r} is not STEP=CPU/MEMORY, such as train=4/16Gi (steps: {steps})"]
            )
        found[step] = Resources(cpu, memory)
    return found


def dress(tasks: Mapping[str, Any], server: Server) -> None:
    """Give KFP's tasks, by step, what the server needs to know of them."""
    from kfp import kubernetes

    for step, task in tasks.items():
        task.set_container_image(server.image)
        amount = server.resources[step]
        task.set_cpu_request(amount.cpu).set_cpu_limit(amount.cpu)
        task.set_memory_request(amount.memory).set_memory_limit(amount.memory)
        # Threads beyond the quota cost more than they give.
        task.set_env_variable("OMP_NUM_THREADS", str(amount.threads))
        task.set_caching_options(enable_caching=step not in UNCACHED)
        if server.retries and step not in NOT_TRIED_AGAIN:
            task.set_retry(server.retries, backoff_duration=server.retry_pause, backoff_factor=2.0)
        kubernetes.set_timeout(task, server.timeout)
        if server.pull_secret:
            kubernetes.set_image_pull_secrets(task, [server.pull_secret])
        if server.lineage_url:
            _with_lineage(step, task, server)
    for step in MEETS_STORAGE:
        if server.s3_secret:
            names = {key: key for key in S3_KEYS}
            kubernetes.use_secret_as_env(tasks[step], server.s3_secret, names)
            for key in S3_KEYS_OPTIONAL:
                kubernetes.use_secret_as_env(tasks[step], server.s3_secret, {key: key}, optional=True)
    register = tasks["register"]
    if server.home_claim:
        kubernetes.mount_pvc(register, server.home_claim, HOME)
    else:
        kubernetes.empty_dir_mount(register, "home", HOME)
    if server.signing_secret:
        kubernetes.use_secret_as_volume(register, server.signing_secret, SIGNING_KEYS)
        register.set_env_variable("SERINUS_SIGNING_KEYS", SIGNING_KEYS)
    if server.registrar:
        register.set_env_variable("SERINUS_REGISTRAR", server.registrar)
    if server.registrar_token:
        register.set_env_variable("SERINUS_REGISTRAR_TOKEN_FILE", server.registrar_token)
    if server.registrar_secret:
        kubernetes.use_secret_as_volume(register, server.registrar_secret, REGISTRAR)
        register.set_env_variable("SERINUS_REGISTRAR_SECRETS", REGISTRAR)
    if server.mlflow:
        register.set_env_variable("MLFLOW_TRACKING_URI", server.mlflow)
    if server.mlflow_secret:
        for key in MLFLOW_KEYS:
            kubernetes.use_secret_as_env(register, server.mlflow_secret, {key: key}, optional=True)


def _with_lineage(step: str, task: Any, server: Server) -> None:
    """Tell a step's pod where its events go, and what of the run only the compiler knows.

    Nobody else on a server tells of the whole run, so its first step says that it began and its last that it
    is complete; of a failure, that which nobody tries again.
    """
    from kfp import kubernetes

    name, _, version = server.image.partition("@")
    context = Context(
        code=Code("oci", f"docker://{server.image}", version or name),
        opens=step == UNCACHED[0],
        closes=step == UNCACHED[-1],
        last_try=not server.retries or step in NOT_TRIED_AGAIN,
    )
    values = context.to_environment() | {"OPENLINEAGE_URL": server.lineage_url}
    values |= {NAMESPACE: server.lineage_namespace} if server.lineage_namespace else {}
    for key, value in values.items():
        task.set_env_variable(key, value)
    # The run's id, which KFP writes on every pod of it.
    kubernetes.use_field_path_as_env(task, RUN, "metadata.labels['pipeline/runid']")
    if server.lineage_secret:
        kubernetes.use_secret_as_env(
            task, server.lineage_secret, {"OPENLINEAGE_API_KEY": "OPENLINEAGE_API_KEY"}
        )


def _wrong(what: list[str]) -> SerinusError:
    return SerinusError(
        "SRN-PIPELINE-041",
        "; ".join(what),
        hint="`serinus pipeline compile --help` says what each takes. Nothing was written.",
    )
