"""The scorer's flags, with the environment of a Seldon pod as their defaults."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from serinus.durations import parse_duration
from serving.scorer import pod
from serving.scorer.entity_flags import EntitySettings, add_flags


class Settings(EntitySettings, frozen=True, kw_only=True):
    """One scorer process, as ``parse`` reads it."""

    bundle: Path
    home: Path | None
    host: str
    port: int
    grpc_port: int | None
    metrics_port: int | None
    metrics_path: str
    predictor: str
    model: str | None
    deployment: str
    namespace: str
    explain: Literal["always", "adverse", "sampled", "never"]
    explain_sample: float
    log: str | None
    durability: Literal["strict", "relaxed"]
    log_interval: float
    log_rotate_bytes: int | None
    log_rotate_every: float | None
    feedback: Path | None
    payload_url: str | None
    payload_mode: Literal["all", "request", "response"]
    untrusted: bool
    model_memory: int
    max_body: int
    max_connections: int
    max_wait: float
    batch_threads: int
    reuse_port: bool
    drain_delay: float
    drain_timeout: float
    drain_grace: float


_EPILOG = """\
The answer to a request is a calibrated probability, a decision and its reasons.
docs/scorer.md shows requests in both protocols; docs/errors/scorer.md the errors.
"""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Flags to settings; exits with 2 and a usage line on a wrong flag, as argparse does."""
    get = environment.get
    parser = argparse.ArgumentParser(
        prog="python -m serving.scorer",
        description="Serve one bundle in the Seldon V1 and Open Inference V2 protocols.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions: list[argparse.Action] = []

    def add(*names: str, **options: Any) -> None:
        actions.append(parser.add_argument(*names, **options))

    fetched = get("MLSERVER_MODEL_URI")  # the operator's, where a storage initialiser has fetched the model
    add(
        "--bundle",
        type=Path,
        default=fetched,
        required=fetched is None,
        help="directory of the bundle to serve (default: $MLSERVER_MODEL_URI)",
    )
    add(
        "--home", type=Path, help="installation: trusted keys and logs (default: $SERINUS_HOME or ./.serinus)"
    )
    add(
        "--host",
        default="0.0.0.0" if "KUBERNETES_SERVICE_HOST" in environment else "127.0.0.1",
        help="address to listen on (default: 127.0.0.1, in a pod 0.0.0.0)",
    )
    add(
        "--port",
        type=_port,
        default=get("PREDICTIVE_UNIT_HTTP_SERVICE_PORT") or get("PREDICTIVE_UNIT_SERVICE_PORT") or "9000",
        help="port to listen on; 0 asks the kernel (default: $PREDICTIVE_UNIT_HTTP_SERVICE_PORT or 9000)",
    )
    add(
        "--grpc-port",
        type=_port_or_off,
        default=get("PREDICTIVE_UNIT_GRPC_SERVICE_PORT", "off"),
        help='port for gRPC, 0 to ask the kernel, or "off" (default: $PREDICTIVE_UNIT_GRPC_SERVICE_PORT or off)',
    )
    add(
        "--metrics-port",
        type=_port_or_off,
        default=get("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", "off"),
        help="port for the metrics alone, which --port has too, 0 to ask the kernel, or "
        '"off" (default: $PREDICTIVE_UNIT_METRICS_SERVICE_PORT or off)',
    )
    add(
        "--metrics-path",
        type=_path,
        default=get("PREDICTIVE_UNIT_METRICS_ENDPOINT", "/prometheus"),
        help="where that port has them (default: $PREDICTIVE_UNIT_METRICS_ENDPOINT or /prometheus)",
    )
    add(
        "--predictor",
        type=_name,
        default=get("PREDICTOR_ID", "default"),
        help="which predictor this is: the metrics' label (default: $PREDICTOR_ID or default)",
    )
    add(
        "--model",
        type=_name,
        default=get("PREDICTIVE_UNIT_ID") or get("MLSERVER_MODEL_NAME"),
        help="the model's name in URLs and metrics "
        "(default: $PREDICTIVE_UNIT_ID, $MLSERVER_MODEL_NAME or the bundle's)",
    )
    add(
        "--deployment",
        type=_name,
        default=get("SELDON_DEPLOYMENT_ID", ""),
        help="SeldonDeployment named in payload events (default: $SELDON_DEPLOYMENT_ID or the model)",
    )
    add("--namespace", type=_name, default=get("POD_NAMESPACE", ""), help="namespace named in payload events")
    add(
        "--explain",
        choices=("always", "adverse", "sampled", "never"),
        default=get("SERINUS_EXPLAIN", "adverse"),
        help="give reasons for every answer, for those not approved, for those and a sample of the rest, "
        "or for none (default: $SERINUS_EXPLAIN or adverse)",
    )
    add(
        "--explain-sample",
        type=_share,
        default=get("SERINUS_EXPLAIN_SAMPLE", "0.02"),
        help="share of approved answers with reasons under --explain sampled (default: 0.02)",
    )
    _add_log(add, get)
    add("--feedback", type=Path, help="outcomes sent back (default: <home>/decisions/<model>.feedback.jsonl)")
    add("--payload-url", help="drift monitor that gets requests and answers as CloudEvents")
    add("--payload-mode", choices=("all", "request", "response"), default="all", help="which of them it gets")
    add_flags(add, get)
    add("--untrusted", action="store_true", help="serve a bundle whose signature is not checked (tests only)")
    add(
        "--model-memory",
        type=_memory,
        default=get("SERINUS_MODEL_MEMORY", "64MiB"),
        help="what the trees may take of it; LightGBM itself, many times slower, serves a model that needs "
        "more (default: $SERINUS_MODEL_MEMORY or 64MiB)",
    )
    add("--max-body", type=_positive, default=4 << 20, help="largest body in bytes (default: %(default)s)")
    add(
        "--max-connections",
        type=_positive,
        default=get("SERINUS_MAX_CONNECTIONS", "4096"),
        help="connections at once; one more gets 503 (default: $SERINUS_MAX_CONNECTIONS or 4096)",
    )
    add(
        "--max-wait",
        type=_seconds,
        default=get("SERINUS_MAX_WAIT", "1"),
        help="seconds a request may have waited for its turn before it is shed with 429 "
        "(default: $SERINUS_MAX_WAIT or 1)",
    )
    add(
        "--batch-threads",
        type=_positive,
        default=get("SERINUS_BATCH_THREADS", "1"),
        help="threads for bodies of 16 KiB and more (default: $SERINUS_BATCH_THREADS or 1)",
    )
    add("--reuse-port", action="store_true", help="let other scorers listen on the same port (SO_REUSEPORT)")
    add(
        "--drain-delay",
        type=_seconds,
        default=0.0,
        help="seconds after SIGTERM in which readiness is false and everything is still answered",
    )
    add("--drain-timeout", type=float, default=10.0, help="seconds SIGTERM gives open requests and queues")
    add(
        "--drain-grace",
        type=float,
        default=0.3,
        help="seconds kept-alive connections are still answered after SIGTERM, each closed with its answer",
    )
    try:
        given = [*pod.flags(environment, actions), *arguments]
    except ValueError as error:
        parser.error(str(error))
    return msgspec.convert(vars(parser.parse_args(given)), Settings)


def _add_log(add: Callable[..., object], get: Callable[..., str | None]) -> None:
    add(
        "--log",
        default=get("SERINUS_LOG"),
        help="decision log: a file, kafka://host:port/topic, or none, for measuring only "
        "(default: $SERINUS_LOG or <home>/decisions/<model>-<predictor>.jsonl)",
    )
    add(
        "--durability",
        choices=("strict", "relaxed"),
        default=get("SERINUS_DURABILITY", "relaxed"),
        help="strict: an answer leaves when its decision is on the disk; relaxed: it does not wait "
        "(default: $SERINUS_DURABILITY or relaxed)",
    )
    add(
        "--log-interval",
        type=_interval,
        default=get("SERINUS_LOG_INTERVAL", "50ms"),
        help="how often relaxed writes and syncs (default: $SERINUS_LOG_INTERVAL or 50ms)",
    )
    add(
        "--log-rotate-bytes",
        type=_bytes,
        default=get("SERINUS_LOG_ROTATE_BYTES", "never"),
        help="begin a new segment at this size, such as 256MiB (default: $SERINUS_LOG_ROTATE_BYTES or never)",
    )
    add(
        "--log-rotate-every",
        type=_every,
        default=get("SERINUS_LOG_ROTATE_EVERY", "never"),
        help="begin a new segment at this age, such as 1d (default: $SERINUS_LOG_ROTATE_EVERY or never)",
    )


def _interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not 0.001 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text} is not between 1ms and 60s")
    return seconds


def _every(text: str) -> float | None:
    if text == "never":
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _bytes(text: str) -> int | None:
    return None if text == "never" else _memory(text)


def _memory(text: str) -> int:
    number = text.rstrip("KMGiB")
    unit = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}.get(text[len(number) :])
    if unit is None or not number.isdecimal() or int(number) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a size such as 65536, 512KiB, 256MiB or 1GiB")
    return int(number) * unit


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (0 to 65535)")
    return value


def _port_or_off(text: str) -> int | None:
    return None if text == "off" else _port(text)


def _path(text: str) -> str:
    if not (text.startswith("/") and text.isascii() and text.isprintable() and " " not in text):
        raise argparse.ArgumentTypeError(f'"{text}" is not a path such as /prometheus')
    return text


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds (0 to 3600)")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share (0 to 1)")
    return value


def _name(text: str) -> str:
    # It stands in headers, URLs, file names and labels.
    if text and not (
        len(text) <= 128
        and text.isascii()
        and text.replace("-", "").replace("_", "").replace(".", "").isalnum()
    ):
        raise argparse.ArgumentTypeError(f'"{text}" is not a name (letters, digits, "-", "_" and ".")')
    return text
