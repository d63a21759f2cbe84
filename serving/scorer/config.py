"""The scorer's flags, with the environment of a Seldon pod as their defaults."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from serinus.masking import Parser
from serving.scorer import flag_values as of
from serving.scorer import pod
from serving.scorer.entity_flags import EntitySettings, add_flags


class Settings(EntitySettings, frozen=True, kw_only=True):
    """One scorer process, as ``parse`` reads it."""

    bundle: Path
    home: Path | None
    keys: Path | None
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
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    drain_delay: float
    drain_timeout: float
    drain_grace: float


_EPILOG = """\
The answer to a request is a calibrated probability, a decision and its reasons.
docs/scorer.md shows requests in both protocols; docs/errors/scorer.md the errors.
"""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Flags to settings; exits with 2 and a usage line on a wrong flag, as argparse does."""
    parser = _parser(environment)
    try:
        given = [*pod.flags(environment, parser.added), *arguments]
    except ValueError as error:
        parser.error(str(error))
    parser.check_defaults()
    settings = msgspec.convert(vars(parser.parse_args(given)), Settings)
    if settings.store != "memory":
        for flag, file in (
            ("--features-snapshot", settings.features_snapshot),
            ("--features-warm", settings.features_warm),
        ):
            if file is not None:
                parser.error(f"argument {flag}: goes with --store memory; {settings.store} keeps its own")
    return settings


class _Parser(Parser):
    """Remembers what flags there are, and shows them in groups."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.added: list[argparse.Action] = []

    def under(self, title: str) -> Callable[..., None]:
        """Adds flags to a group of the help."""
        group = self.add_argument_group(title)

        def add(*names: str, **options: Any) -> None:
            self.added.append(group.add_argument(*names, **options))

        return add

    def check_defaults(self) -> None:
        """Exit with 2 where the environment holds what is no choice: argparse checks only what is given."""
        for action in self.added:
            if action.choices is not None and action.default not in action.choices:
                known = ", ".join(action.choices)
                self.error(
                    f"argument {action.option_strings[0]}: {action.default} from the environment is none of {known}"
                )


def _parser(environment: Mapping[str, str]) -> _Parser:
    get = environment.get
    parser = _Parser(
        prog="python -m serving.scorer",
        usage="%(prog)s --bundle DIR [flags]",
        description="Serve one bundle in the Seldon V1 and Open Inference V2 protocols.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_model(parser.under("what is served"), get)
    _add_ports(parser.under("where"), get, in_pod="KUBERNETES_SERVICE_HOST" in environment)
    _add_answers(parser.under("answers and what is told of them"), get)
    _add_log(parser.under("decision log"), get)
    add_flags(parser.under("requests by entity"), get)
    _add_limits(parser.under("limits"), get)
    _add_drain(parser.under("after SIGTERM"))
    return parser


_Add = Callable[..., None]
_Get = Callable[..., str | None]


def _add_model(add: _Add, get: _Get) -> None:
    fetched = get("MLSERVER_MODEL_URI")  # the operator's, where a storage initialiser has fetched the model
    add(
        "--bundle",
        type=Path,
        metavar="DIR",
        default=fetched,
        required=fetched is None,
        help="directory of the bundle to serve (default: $MLSERVER_MODEL_URI)",
    )
    add(
        "--home",
        type=Path,
        metavar="DIR",
        help="installation: trusted keys and logs (default: $SERINUS_HOME or ./.serinus)",
    )
    add(
        "--keys",
        type=Path,
        metavar="DIR",
        default=get("SERINUS_KEYS"),
        help="trusted public keys, trusted-*.pem (default: $SERINUS_KEYS or <home>/keys)",
    )
    add("--untrusted", action="store_true", help="serve a bundle whose signature is not checked (tests only)")
    add(
        "--predictor",
        type=of.name,
        metavar="NAME",
        default=get("PREDICTOR_ID", "default"),
        help="which predictor this is: the metrics' label (default: $PREDICTOR_ID or default)",
    )
    add(
        "--model",
        type=of.name,
        metavar="NAME",
        default=get("PREDICTIVE_UNIT_ID") or get("MLSERVER_MODEL_NAME"),
        help="the model's name in URLs and metrics "
        "(default: $PREDICTIVE_UNIT_ID, $MLSERVER_MODEL_NAME or the bundle's)",
    )
    add(
        "--deployment",
        type=of.name,
        metavar="NAME",
        default=get("SELDON_DEPLOYMENT_ID", ""),
        help="SeldonDeployment named in payload events (default: $SELDON_DEPLOYMENT_ID or the model)",
    )
    add(
        "--namespace",
        type=of.name,
        metavar="NAME",
        default=get("POD_NAMESPACE", ""),
        help="namespace named in payload events (default: $POD_NAMESPACE or none)",
    )


def _add_ports(add: _Add, get: _Get, *, in_pod: bool) -> None:
    add(
        "--host",
        metavar="ADDRESS",
        default="0.0.0.0" if in_pod else "127.0.0.1",
        help="address to listen on (default: 127.0.0.1, in a pod 0.0.0.0)",
    )
    add(
        "--port",
        type=of.port,
        default=get("PREDICTIVE_UNIT_HTTP_SERVICE_PORT") or get("PREDICTIVE_UNIT_SERVICE_PORT") or "9000",
        help="port to listen on; 0 asks the kernel (default: $PREDICTIVE_UNIT_HTTP_SERVICE_PORT, "
        "$PREDICTIVE_UNIT_SERVICE_PORT or 9000)",
    )
    for flag, variable, what in (
        ("--tls-cert", "SERINUS_SERVER_CERT", "serve HTTPS and gRPC over TLS: PEM file of the certificate"),
        ("--tls-key", "SERINUS_SERVER_KEY", "PEM file of its key"),
        (
            "--tls-client-ca",
            "SERINUS_SERVER_CLIENT_CA",
            "let in only clients with a certificate of these authorities",
        ),
    ):
        add(
            flag,
            type=Path,
            metavar="FILE",
            default=get(variable),
            help=f"{what}; read again when it changes (default: ${variable} or none)",
        )
    add("--reuse-port", action="store_true", help="let other scorers listen on the same port (SO_REUSEPORT)")
    add(
        "--grpc-port",
        type=of.port_or_off,
        metavar="PORT",
        default=get("PREDICTIVE_UNIT_GRPC_SERVICE_PORT", "off"),
        help='port for gRPC, 0 to ask the kernel, or "off" (default: $PREDICTIVE_UNIT_GRPC_SERVICE_PORT or off)',
    )
    add(
        "--metrics-port",
        type=of.port_or_off,
        metavar="PORT",
        default=get("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", "off"),
        help="port for the metrics alone, which --port has too, 0 to ask the kernel, or "
        '"off" (default: $PREDICTIVE_UNIT_METRICS_SERVICE_PORT or off)',
    )
    add(
        "--metrics-path",
        type=of.path,
        metavar="PATH",
        default=get("PREDICTIVE_UNIT_METRICS_ENDPOINT", "/prometheus"),
        help="where that port has them (default: $PREDICTIVE_UNIT_METRICS_ENDPOINT or /prometheus)",
    )


def _add_answers(add: _Add, get: _Get) -> None:
    add(
        "--explain",
        choices=("always", "adverse", "sampled", "never"),
        default=get("SERINUS_EXPLAIN", "adverse"),
        help="give reasons for every answer, for those not approved, for those and a sample of the rest, "
        "or for none (default: $SERINUS_EXPLAIN or adverse)",
    )
    add(
        "--explain-sample",
        type=of.share,
        metavar="SHARE",
        default=get("SERINUS_EXPLAIN_SAMPLE", "0.02"),
        help="share of approved answers with reasons under --explain sampled "
        "(default: $SERINUS_EXPLAIN_SAMPLE or 0.02)",
    )
    add(
        "--feedback",
        type=Path,
        metavar="FILE",
        help="outcomes sent back (default: <home>/decisions/<model>.feedback.jsonl)",
    )
    add(
        "--payload-url",
        metavar="URL",
        help="drift monitor that gets requests and answers as CloudEvents (default: none)",
    )
    add(
        "--payload-mode",
        choices=("all", "request", "response"),
        default="all",
        help="which of them it gets (default: %(default)s)",
    )


def _add_log(add: _Add, get: _Get) -> None:
    add(
        "--log",
        metavar="WHERE",
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
        type=of.interval,
        metavar="DURATION",
        default=get("SERINUS_LOG_INTERVAL", "50ms"),
        help="how often relaxed writes and syncs, and after which a failing log is tried again "
        "(default: $SERINUS_LOG_INTERVAL or 50ms)",
    )
    add(
        "--log-rotate-bytes",
        type=of.size_or_never,
        metavar="SIZE",
        default=get("SERINUS_LOG_ROTATE_BYTES", "never"),
        help="begin a new segment at this size, such as 256MiB (default: $SERINUS_LOG_ROTATE_BYTES or never)",
    )
    add(
        "--log-rotate-every",
        type=of.every,
        metavar="DURATION",
        default=get("SERINUS_LOG_ROTATE_EVERY", "never"),
        help="begin a new segment at this age, such as 1d (default: $SERINUS_LOG_ROTATE_EVERY or never)",
    )


def _add_limits(add: _Add, get: _Get) -> None:
    add(
        "--model-memory",
        type=of.size,
        metavar="SIZE",
        default=get("SERINUS_MODEL_MEMORY", "64MiB"),
        help="what the trees may take of it; LightGBM itself, many times slower, serves a model that needs "
        "more (default: $SERINUS_MODEL_MEMORY or 64MiB)",
    )
    add(
        "--max-body",
        type=of.size,
        metavar="SIZE",
        default="4MiB",
        help="largest body, inflated where it is compressed (default: %(default)s)",
    )
    add(
        "--max-connections",
        type=of.positive,
        metavar="N",
        default=get("SERINUS_MAX_CONNECTIONS", "4096"),
        help="connections at once; one more gets 503 (default: $SERINUS_MAX_CONNECTIONS or 4096)",
    )
    add(
        "--max-wait",
        type=of.seconds,
        metavar="SECONDS",
        default=get("SERINUS_MAX_WAIT", "1"),
        help="a request that waited longer for its turn is shed with 429 (default: $SERINUS_MAX_WAIT or 1)",
    )
    add(
        "--batch-threads",
        type=of.positive,
        metavar="N",
        default=get("SERINUS_BATCH_THREADS", "1"),
        help="threads for bodies of 16 KiB and more (default: $SERINUS_BATCH_THREADS or 1)",
    )


def _add_drain(add: _Add) -> None:
    add(
        "--drain-delay",
        type=of.seconds,
        metavar="SECONDS",
        default="0",
        help="readiness is false and everything is still answered for so long (default: %(default)s)",
    )
    add(
        "--drain-grace",
        type=of.seconds,
        metavar="SECONDS",
        default="0.3",
        help="kept-alive connections are still answered for so long after that, each closed with its answer "
        "(default: %(default)s)",
    )
    add(
        "--drain-timeout",
        type=of.seconds,
        metavar="SECONDS",
        default="10",
        help="what open requests and the payload queue get (default: %(default)s)",
    )
