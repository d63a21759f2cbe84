"""Starting the join of outcomes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from serinus import http
from serinus.bundle import Keyring, open_bundle
from serinus.contract import load_contract
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.follow import FEEDBACK, exactly, matching
from serinus.home import find_home
from serinus.masking import mask_logs
from serinus.privacy import find_keys
from serinus.program import run_program
from serinus.tls import server_files
from serinus.watching.concept import Concept, ConceptPlan, Validation
from serving.outcomes.concept import ConceptWatch
from serving.outcomes.engine import Engine, Settings
from serving.outcomes.http import build_app
from serving.outcomes.measures import MEASURES, Policy
from serving.outcomes.records import Kind
from serving.outcomes.store import Store

log = logging.getLogger("serinus.outcomes")
app = typer.Typer(add_completion=False)


@app.command()
def outcomes(
    contract: Annotated[
        Path | None, typer.Option(help="The model's data contract (default: the bundle's).")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model label in logs and metrics (default: the contract's name).")
    ] = "",
    home: Annotated[
        Path | None, typer.Option(help="Installation directory: decisions/ and the store.")
    ] = None,
    logs: Annotated[
        Path | None, typer.Option(help="Directory of the logs (default: <home>/decisions).")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            envvar="SERINUS_KEYS",
            show_envvar=False,
            help="Directory of the trusted public keys, trusted-*.pem (default: $SERINUS_KEYS or <home>/keys).",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle of the served model: its validation is the yardstick of concept drift."),
    ] = None,
    concept_batch: Annotated[
        str, typer.Option(help="Decisions of so long a stretch are judged together for concept drift.")
    ] = "1d",
    untrusted: Annotated[bool, typer.Option(help="Accept a bundle without a trusted signature.")] = False,
    decisions: Annotated[
        str, typer.Option(help="Glob of the decision logs (default: <model>-*.jsonl).")
    ] = "",
    feedback: Annotated[
        str, typer.Option(help="Glob of the outcomes beside them (default: <model>.feedback*.jsonl).")
    ] = "",
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="File of labels beside the feedback: .jsonl or .csv with request_id, label, time."),
    ] = None,
    protected: Annotated[
        Path | None,
        typer.Option(help="Restricted file of protected attributes: JSON lines of request_id, attributes."),
    ] = None,
    floor: Annotated[
        list[str] | None,
        typer.Option(help="measure=least that is acceptable, e.g. precision=0.95; may be repeated."),
    ] = None,
    window: Annotated[
        int, typer.Option(min=200, help="Latest labelled decisions that figures rest on.")
    ] = 20_000,
    min_rows: Annotated[
        int, typer.Option(min=10, help="Labelled decisions before anything is judged.")
    ] = 200,
    keep: Annotated[
        str,
        typer.Option(help="How long decisions wait for their label (default: twice its delay, at least 7d)."),
    ] = "",
    grace: Annotated[str, typer.Option(help="Beyond the label's delay, until it counts as due.")] = "1d",
    read_every: Annotated[str, typer.Option(help="How often the logs are read.")] = "1s",
    look_every: Annotated[str, typer.Option(help="How often the figures are taken.")] = "15s",
    tls_cert: Annotated[Path | None, typer.Option(help="Serve HTTPS: PEM file of the certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Let in only clients with a certificate of these authorities.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 lets the kernel choose.")] = 0,
) -> None:
    """Join late labels to decisions and show what they say.

    Follows <home>/decisions/<model>-*.jsonl and <model>.feedback.jsonl (through rotation), and the
    files given. Where the logs lie elsewhere, their lines may be posted (POST /decisions, /feedback;
    python -m serving.outcomes.ship does), and so may labels and protected attributes (POST /labels,
    /protected). The join lives in <home>/outcomes/<model>.sqlite; a restart goes on where it stopped.
    Metrics: GET /metrics, /prometheus. Figures: GET /status.
    """
    mask_logs()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    tls = server_files(tls_cert, tls_key, tls_client_ca)
    listener = http.bind(host, port, "SRN-OUTCOMES-002")
    installation = find_home(home)
    trusted = None if untrusted else Keyring.load(keys or installation.keys)
    opened = open_bundle(bundle, trusted=trusted) if bundle is not None else None
    if contract is not None:
        checked = load_contract(contract)
    elif opened is not None:
        checked = opened.contract
    else:
        raise _wrong("command line", "give --bundle, or --contract for figures without a yardstick")
    name = model or checked.name
    delay = parse_duration(checked.label.delay)
    settings = Settings(
        model=name,
        contract=checked,
        keep=_duration("--keep", keep) if keep else max(2 * delay, 7 * 86_400.0),
        grace=_duration("--grace", grace),
        window=window,
        policy=Policy(floors=read_floors(floor or []), min_rows=min_rows),
    )
    if settings.keep < delay:
        raise _wrong("--keep", f"{keep} is shorter than the label's delay, {checked.label.delay}")
    directory = logs or installation.decisions
    sources: dict[Kind, Callable[[], list[Path]]] = {
        "decisions": matching(directory, decisions or f"{name}-*.jsonl", leave_out=FEEDBACK),
        "protected": exactly(*([protected] if protected else [])),
        "feedback": matching(directory, feedback or f"{name}.feedback*.jsonl"),
        "labels": exactly(*(labels or [])),
        "reviews": exactly(directory / f"{name}.review.feedback.jsonl"),
    }
    store = Store(installation.root / "outcomes" / f"{name}.sqlite")
    concept = None
    yardstick = opened.metrics.get("yardstick") if opened is not None else None
    if opened is not None and yardstick is None:
        log.warning("the bundle holds no yardstick of validation, so concept drift is not judged")
    if opened is not None and yardstick is not None:
        concept = ConceptWatch(
            store,
            Concept(ConceptPlan(), msgspec.convert(yardstick, Validation)),
            opened.version,
            _duration("--concept-batch", concept_batch),
        )
    engine = Engine(settings, store, sources, concept=concept, keys=find_keys(installation))
    engine.start(_duration("--read-every", read_every), _duration("--look-every", look_every))
    http.end_with_zero()
    try:
        http.serve(build_app(engine), listener, {"model": name}, tls)
    finally:
        engine.stop()
        store.close()


def read_floors(pairs: list[str]) -> dict[str, float]:
    """``measure=number`` pairs. Raises ``SRN-OUTCOMES-003``."""
    floors: dict[str, float] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if name not in MEASURES or not 0 <= value <= 1:
            raise _wrong(
                "--floor", f"{pair!r} is not a measure ({', '.join(MEASURES)}) and a number from 0 to 1"
            )
        floors[name] = value
    return floors


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    run_program(app)


def _duration(flag: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise _wrong(flag, str(error)) from error


def _wrong(flag: str, what: str) -> SerinusError:
    return SerinusError("SRN-OUTCOMES-003", what, where=flag, hint="See python -m serving.outcomes --help.")
