"""Starting the archive."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serinus import http
from serinus.archive import Archive
from serinus.errors import SerinusError
from serinus.follow import exactly
from serinus.home import Home, find_home
from serinus.kafka_address import parse_address
from serinus.masking import mask_logs
from serinus.program import duration_of, run_program
from serinus.review.desk import answers_path
from serinus.shipping import HttpChannel, Shipper, run
from serinus.tls import server_files
from serving.archive.board import Board
from serving.archive.bodies import Bodies
from serving.archive.http import build_app
from serving.archive.places import Places
from serving.archive.sources import Intake, watch_what_waits

if TYPE_CHECKING:
    from serving.archive.kafka import KafkaSource

log = logging.getLogger("serinus.archive")
app = typer.Typer(add_completion=False)
_HINT = "See python -m serving.archive --help."


@app.command()
def archive(
    kafka: Annotated[
        list[str] | None,
        typer.Option(help="kafka://host:port/topic?config=FILE to read; may be repeated."),
    ] = None,
    group: Annotated[
        str, typer.Option(help="Consumer group under which the brokers are told how far it is.")
    ] = "serinus-archive",
    home: Annotated[
        Path | None, typer.Option(help="Installation directory: logs go below its decisions/.")
    ] = None,
    rotate_mib: Annotated[
        int, typer.Option(min=0, help="Size in MiB at which a log is closed as a segment; 0: never.")
    ] = 256,
    writers: Annotated[
        str, typer.Option(help="Glob of the writers (messages' keys) to keep, such as 'fraud-*'.")
    ] = "*",
    forget_after: Annotated[
        str,
        typer.Option(
            help="Remove what has not been written for so long, such as 7d: only for a copy that is no record."
        ),
    ] = "",
    answers: Annotated[
        list[str] | None,
        typer.Option(
            help="model=URL of its outcomes program, which is sent people's answers; may be repeated."
        ),
    ] = None,
    every: Annotated[str, typer.Option(help="How often answers are looked for.")] = "5s",
    tls_cert: Annotated[Path | None, typer.Option(help="Serve HTTPS: PEM file of the certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Let in only clients with a certificate of these authorities.")
    ] = None,
    read_timeout: Annotated[
        str,
        typer.Option(
            help="How long a sender may be silent amid a request; all of it may take six times that."
        ),
    ] = "10s",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 lets the kernel choose.")] = 0,
) -> None:
    """Keep the decision logs of a cluster as files, byte for byte, as their scorers would have written them.

    Reads topics that scorers log to (--kafka), and takes what python -m serving.outcomes.ship --archive
    posts for a pod (POST /decisions?log=NAME, /feedback?log=NAME). Each writer's chain becomes
    <home>/decisions/NAME.jsonl: explain, decisions, review, privacy and audit read them. An entry is kept
    once, however often it comes; what is missing is told (GET /metrics, and audit verify), and what fits no
    chain is set aside below <home>/archive/aside. The place in a topic stands in <home>/archive/places.json
    and moves when the lines are on the disk. Answers given at the review queue of this home go to the
    model's outcomes program with --answers.
    """
    mask_logs()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    tls = server_files(tls_cert, tls_key, tls_client_ca)
    addresses = [parse_address(text, code="SRN-ARCHIVE-003") for text in kafka or []]
    if len({address.topic for address in addresses}) < len(addresses):
        raise _wrong("--kafka", "the same topic is named twice; metrics could not tell them apart")
    installation = find_home(home)
    senders = [_answers(installation, pair) for pair in answers or []]
    pause = duration_of("--every", every, code="SRN-ARCHIVE-003", hint=_HINT)
    forget = (
        duration_of("--forget-after", forget_after, code="SRN-ARCHIVE-003", hint=_HINT)
        if forget_after
        else None
    )
    silence = duration_of("--read-timeout", read_timeout, code="SRN-ARCHIVE-003", hint=_HINT)
    listener = http.bind(host, port, "SRN-ARCHIVE-001")
    board, stopping = Board(), threading.Event()
    with ExitStack() as ending:
        kept = Archive(installation, rotate_bytes=rotate_mib << 20 or None)
        ending.callback(kept.close)
        places = ending.enter_context(Places(installation.root / "archive" / "places.json"))
        threads: list[threading.Thread] = []
        if addresses:
            source_of = _kafka()
            for address in addresses:
                source = source_of(address, places, board, group=group)
                ending.callback(source.close)
                intake = Intake(source, kept, board, writers=writers)
                threads.append(threading.Thread(target=intake.run, args=(stopping,), name=source.name))
        if addresses or kept.waits():
            waiting = threading.Thread(target=watch_what_waits, args=(kept, board, stopping), name="waiting")
            threads.append(waiting)
        threads += [
            threading.Thread(target=run, args=(sender, pause, 0.0, stopping), name="answers")
            for sender in senders
        ]
        if forget is not None:
            threads.append(threading.Thread(target=_forget, args=(kept, forget, stopping), name="forget"))
        ending.callback(_end, threads, stopping)
        for thread in threads:
            thread.start()
        http.end_with_zero()
        alive = lambda: all(thread.is_alive() for thread in threads)  # noqa: E731
        http.serve(build_app(kept, board, alive, Bodies(silence)), listener, tls=tls, read_timeout=silence)


def _end(threads: list[threading.Thread], stopping: threading.Event) -> None:
    stopping.set()
    for thread in threads:
        if thread.ident is not None:
            thread.join(30)


def _forget(kept: Archive, age: float, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            removed = kept.forget(time.time() - age)
            if removed:
                log.info("removed %d file(s) that were not written for longer than --forget-after", removed)
        except (OSError, SerinusError) as error:  # the archive goes on, and looks again
            log.error("files older than --forget-after are not all removed: %s", error)
        stopping.wait(min(60.0, age / 10))


def _kafka() -> type[KafkaSource]:
    try:
        from serving.archive.kafka import KafkaSource
    except ModuleNotFoundError as error:
        raise SerinusError(
            "SRN-CLI-001",
            "an archive of Kafka needs the Python package confluent-kafka, which is not installed",
            hint="Install the extra that brings it: uv sync --extra kafka, or pip install 'serinus[kafka]'.",
        ) from error
    return KafkaSource


def _answers(home: Home, pair: str) -> Shipper:
    model, _, url = pair.partition("=")
    if not model or not url.startswith(("http://", "https://")):
        raise _wrong("--answers", f"{pair!r} is not model=URL")
    sources = {"reviews": exactly(answers_path(home, model))}
    return Shipper(sources, HttpChannel(url), home.root / "archive" / f"answers-{model}.json")


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    run_program(app)


def _wrong(flag: str, what: str) -> SerinusError:
    return SerinusError("SRN-ARCHIVE-003", what, where=flag, hint=_HINT)
