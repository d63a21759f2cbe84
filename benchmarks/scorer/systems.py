"""The servers and settings that are compared: one entry a row of the tables."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from . import entity
from .models import Files
from .wire import Wire, grpc, listed, v1, v2, v2_binary

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = HERE / "peers"
Reasons = Literal["none", "adverse", "every"]


@dataclass(frozen=True)
class Place:
    """Where one start of a server happens."""

    port: int
    other_ports: tuple[int, int]
    directory: Path
    nonce: str
    files: Files
    venvs: Path


@dataclass(frozen=True)
class System:
    """One row.

    Attributes:
        key: names its files and the choice on the command line.
        product: whose server.
        setting: what was chosen of its settings.
        reasons: for which answers it gives contributions.
        headline: measured again in every round, not only in the first.
        quick: part of the quick set.
        missing: why it can't run here, or empty.
    """

    key: str
    product: str
    setting: str
    model: str
    wire: Wire
    command: Callable[[Place], list[str]]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    reasons: Reasons = "none"
    kind: Literal["http", "grpc"] = "http"
    headline: bool = False
    quick: bool = False
    missing: Callable[[Files, Path], str] = lambda files, venvs: ""

    @property
    def ours(self) -> bool:
        """Whether this is serinus."""
        return self.product == "serinus"


def all_systems() -> list[System]:
    """Every row, in the tables' order."""
    return [*_null(), *_ours(), *_mlserver(), *_seldon(), *_bentoml(), *_litserve()]


def _null() -> list[System]:
    def command(place: Place) -> list[str]:
        return [
            sys.executable,
            str(PEERS / "null.py"),
            str(place.port),
            "430",
        ]  # as many bytes as our V1 answer

    return [
        System("null", "null server", "uvloop + httptools, fixed answer", "lightgbm", v1(), command,
               headline=True, quick=True)
    ]  # fmt: skip


@cache
def scorer_help() -> str:
    """The scorer's own help, to know which flags it has."""
    import subprocess

    command = [sys.executable, "-m", "serving.scorer", "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


OFF = ("--log", "none")
RELAXED, STRICT = ("--durability", "relaxed"), ("--durability", "strict")


def _ours() -> list[System]:
    def start(model: str, *flags: str, grpc: bool = False) -> Callable[[Place], list[str]]:
        def command(place: Place) -> list[str]:
            bundle = place.files.bundle(model)
            ports = ["--port", str(place.other_ports[0] if grpc else place.port)]
            if grpc:
                ports += ["--grpc-port", str(place.port)]
            log = [] if "--log" in flags else ["--log", str(place.directory / "decisions.jsonl")]
            return [
                sys.executable, "-m", "serving.scorer", "--bundle", str(bundle), "--home",
                str(place.files.home.root), "--predictor", place.nonce, *ports, *log,
                *(flag.format(entity=place.files.root / "entity") for flag in flags),
            ]  # fmt: skip

        return command

    def missing(model: str, *flags: str) -> Callable[[Files, Path], str]:
        def why(files: Files, venvs: Path) -> str:
            if files.bundle(model) is None:
                return "serinus has no bundle of this kind of model yet"
            gone = [f for f in flags if f.startswith("--") and f not in scorer_help()]
            return f"the scorer has no {', '.join(gone)}" if gone else ""

        return why

    name = "bench-lightgbm"
    rows: list[tuple[str, str, Wire, Reasons, tuple[str, ...], bool]] = [
        ("never-off", "score + decision, log off", v1(), "none", ("--explain", "never", *OFF), True),
        ("never", "score + decision, log relaxed", v1(), "none", ("--explain", "never", *RELAXED), True),
        ("never-strict", "score + decision, log strict", v1(), "none", ("--explain", "never", *STRICT), False),
        ("adverse", "reasons when adverse (5 %), log relaxed", v1(), "adverse",
         ("--explain", "adverse", *RELAXED), False),
        ("always-off", "reasons on every request, log off", v1(), "every", ("--explain", "always", *OFF), False),
        ("always", "reasons on every request, log relaxed", v1(), "every",
         ("--explain", "always", *RELAXED), True),
        ("v2", "score + decision, log relaxed", v2(name), "none", ("--explain", "never", *RELAXED), False),
        ("v2-binary", "score + decision, log relaxed", v2_binary(name), "none",
         ("--explain", "never", *RELAXED), False),
    ]  # fmt: skip
    env = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    out = [
        System(f"ours-{key}", "serinus", setting, "lightgbm", wire, start("lightgbm", *flags), env, reasons,
               headline=headline, quick=headline, missing=missing("lightgbm", *flags))
        for key, setting, wire, reasons, flags, headline in rows
    ]  # fmt: skip
    out.append(
        System(
            "ours-grpc", "serinus", "score + decision, log relaxed", "lightgbm", grpc(name),
            start("lightgbm", "--explain", "never", *RELAXED, grpc=True), env, kind="grpc",
            missing=missing("lightgbm", "--grpc-port", *RELAXED),
        )
    )  # fmt: skip
    warm = ("--features-warm", "{entity}/past.jsonl")
    out.append(
        System(
            "ours-entity", "serinus", "by entity, memory store, log relaxed", "entity", v1(),
            start("entity", "--explain", "never", *RELAXED, *warm), env, missing=missing("entity", *RELAXED, *warm),
        )
    )  # fmt: skip
    forest: list[tuple[str, str, Reasons, tuple[str, ...]]] = [
        ("never", "score + decision, log relaxed", "none", ("--explain", "never", *RELAXED)),
        ("always", "reasons on every request, log relaxed", "every", ("--explain", "always", *RELAXED)),
    ]
    for key, setting, reasons, flags in forest:
        out.append(
            System(f"ours-forest-{key}", "serinus", setting, "sklearn", v1(), start("sklearn", *flags), env,
                   reasons, missing=missing("sklearn", *flags))
        )  # fmt: skip
    return out


def _peer(name: str) -> tuple[Callable[[Files, Path], str], Callable[[Place], Path]]:
    """Whether the peer's environment is there, and its ``bin``."""

    def missing(files: Files, venvs: Path) -> str:
        failed = venvs / f"{name}.failed"
        if failed.exists():
            return f"not installed: {failed.read_text()[-300:]}"
        return "" if (venvs / name / "bin" / "python").exists() else "not installed"

    return missing, lambda place: place.venvs / name / "bin"


def messages(system: System, files: Files, count: int | None = None) -> list[bytes]:
    """The row's requests, the first ``count`` or all."""
    if system.model == "entity":
        return [system.wire.wrap(body) for body in entity.bodies(files.root / "entity")[:count]]
    x = np.load(files.rows)[:count]
    return [system.wire.message(x[i : i + 1]) for i in range(len(x))]


def environment(system: System, place: Place) -> dict[str, str]:
    """The row's environment, with what only the place knows."""
    path = place.files.forest if system.model == "sklearn" else place.files.booster
    common = {"BENCH_NONCE": place.nonce, "BENCH_MODEL": str(path.resolve()), "OMP_NUM_THREADS": "1"}
    paths = [str(PEERS / "common"), *(str(p) for p in PEERS.iterdir() if p.is_dir())]
    return {**common, "PYTHONPATH": os.pathsep.join(paths), "HOME": str(place.directory), **system.env}


def _mlserver() -> list[System]:
    missing, binaries = _peer("mlserver")
    implementations = {
        "lightgbm": "mlserver_lightgbm.LightGBMModel",
        "sklearn": "mlserver_sklearn.SKLearnModel",
    }

    def start(model: str, workers: int, batch: int, reasons: bool) -> Callable[[Place], list[str]]:
        def command(place: Place) -> list[str]:
            path = place.files.booster if model == "lightgbm" else place.files.forest
            settings = {
                "debug": False, "host": "127.0.0.1", "http_port": place.port, "grpc_port": place.other_ports[0],
                "metrics_port": place.other_ports[1], "metrics_endpoint": None, "parallel_workers": workers,
                "gzip_enabled": False,
            }  # fmt: skip
            entry = {
                "name": "bench",
                "implementation": "reasons.Reasons" if reasons else implementations[model],
                "max_batch_size": batch,
                "max_batch_time": 0.001 if batch else 0,
                "parameters": {"uri": str(path.resolve()), "version": place.nonce},
            }
            shutil.rmtree(place.directory / "model", ignore_errors=True)
            (place.directory / "model").mkdir(parents=True)
            (place.directory / "model" / "settings.json").write_text(json.dumps(settings))
            (place.directory / "model" / "model-settings.json").write_text(json.dumps(entry))
            return [str(binaries(place) / "mlserver"), "start", str(place.directory / "model")]

        return command

    def row(key: str, setting: str, model: str, workers: int, batch: int, reasons: bool = False,
            headline: bool = False) -> System:  # fmt: skip
        wire = v2("bench", forest_of_mlserver=model == "sklearn" and not reasons)
        return System(
            f"mlserver-{key}", "MLServer 1.7.1", setting, model, wire, start(model, workers, batch, reasons),
            {"EXPLAIN": ""} if not reasons else {"BENCH_EXPLAIN": "1"}, "every" if reasons else "none",
            headline=headline, quick=headline, missing=missing,
        )  # fmt: skip

    return [
        row("inline", "parallel_workers 0", "lightgbm", 0, 0, headline=True),
        row("worker", "parallel_workers 1", "lightgbm", 1, 0),
        row("batching", "parallel_workers 0, batches of 32 within 1 ms", "lightgbm", 0, 32),
        row("shap", "parallel_workers 0, shap.TreeExplainer", "lightgbm", 0, 0, True),
        row("forest", "parallel_workers 0", "sklearn", 0, 0),
        row("forest-shap", "parallel_workers 0, shap.TreeExplainer", "sklearn", 0, 0, True),
    ]


def _seldon() -> list[System]:
    missing, binaries = _peer("seldon")

    def start(*flags: str) -> Callable[[Place], list[str]]:
        def command(place: Place) -> list[str]:
            ports = ["--http-port", str(place.port), "--grpc-port", str(place.other_ports[0])]
            ports += ["--metrics-port", str(place.other_ports[1])]
            program = str(binaries(place) / "seldon-core-microservice")
            return [program, "Fraud", "--service-type", "MODEL", "--log-level", "ERROR", *ports, *flags]

        return command

    threaded = ("--threads", "4", "--keepalive", "75")
    rows = [
        ("default", "gunicorn 1 worker, 1 thread (its default)", "lightgbm", (), True),
        ("threads", "gunicorn 1 worker, 4 threads, kept alive", "lightgbm", threaded, False),
        ("forest", "gunicorn 1 worker, 1 thread", "sklearn", (), False),
    ]
    return [
        System(f"seldon-{key}", "Seldon wrapper 1.17.1", setting, model, v1(), start(*flags),
               headline=headline, quick=headline, missing=missing)
        for key, setting, model, flags, headline in rows
    ]  # fmt: skip


def _bentoml() -> list[System]:
    missing, binaries = _peer("bentoml")

    def command(place: Place) -> list[str]:
        return [str(binaries(place) / "bentoml"), "serve", "service:Fraud", "--host", "127.0.0.1", "--port",
                str(place.port), "--working-dir", str(PEERS / "bentoml")]  # fmt: skip

    quiet = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "bento-home"}
    rows: list[tuple[str, str, str, dict[str, str], Reasons, bool]] = [
        ("async", "1 worker, async endpoint", "lightgbm", {}, "none", True),
        ("batching", "1 worker, adaptive batching", "lightgbm", {"BENCH_BATCH": "1"}, "none", False),
        ("shap", "1 worker, shap.TreeExplainer", "lightgbm", {"BENCH_EXPLAIN": "1"}, "every", False),
        ("forest", "1 worker, async endpoint", "sklearn", {}, "none", False),
    ]
    return [
        System(
            f"bentoml-{key}", "BentoML 1.4.39", setting, model,
            listed("/predict") if key == "batching" else v1("/predict"), command, {**quiet, **env}, reasons,
            headline=headline, quick=headline, missing=missing,
        )
        for key, setting, model, env, reasons, headline in rows
    ]  # fmt: skip


def _litserve() -> list[System]:
    missing, binaries = _peer("litserve")

    def command(place: Place) -> list[str]:
        return [str(binaries(place) / "python"), str(PEERS / "litserve" / "server.py"), str(place.port)]

    rows: list[tuple[str, str, str, dict[str, str], Reasons, bool]] = [
        ("fast", "1 worker, ZeroMQ queue", "lightgbm", {}, "none", True),
        ("queue", "1 worker, its default queue", "lightgbm", {"BENCH_FAST_QUEUE": "0"}, "none", False),
        ("shap", "1 worker, shap.TreeExplainer", "lightgbm", {"BENCH_EXPLAIN": "1"}, "every", True),
        ("forest", "1 worker", "sklearn", {}, "none", False),
        ("forest-shap", "1 worker, shap.TreeExplainer", "sklearn", {"BENCH_EXPLAIN": "1"}, "every", False),
    ]
    return [
        System(f"litserve-{key}", "LitServe 0.2.19", setting, model, v1("/predict"), command, env, reasons,
               headline=headline, quick=headline, missing=missing)
        for key, setting, model, env, reasons, headline in rows
    ]  # fmt: skip
