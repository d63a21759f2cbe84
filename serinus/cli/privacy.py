"""``serinus privacy``: what is kept of a person, and erasing it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
import typer

from serinus.access import Access
from serinus.audit import AuditLog
from serinus.chain import read_gaps
from serinus.cli.copying import copy_command
from serinus.cli.options import AsOption, HomeOption, Output, OutputOption, counted, group, print_json
from serinus.contract import Contract, parse_contract
from serinus.events import decode_decision
from serinus.home import Home, existing_home
from serinus.identity import current_identity
from serinus.privacy import KeyStore, MasterKey, open_store
from serinus.privacy.erase import Asked, Forget, erase, forget_again, may_erase, recorded_erasures
from serinus.privacy.kept import Entry, entries_of, outcomes_of
from serinus.privacy.protected import seal_protected
from serinus.privacy.retention import duty, load_retention
from serinus.privacy.store import Hold
from serinus.registry import Registry
from serinus.shadows import Shadows, shadows_of

SubjectArgument = Annotated[
    str, typer.Argument(help="The person, as the contract's privacy.subject names them.")
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--column",
        help="The column that names them (default: the only one there is); request, for a request id of a "
        "decision on nobody in particular.",
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Redis where scorers keep histories (default: $SERINUS_STORE). Scorers that keep them in memory "
        "hear of an erasure by themselves.",
    ),
]


def privacy_app() -> typer.Typer:
    """The commands."""
    app = group(
        "What is kept of a person, and erasing it by destroying their key.\n\n"
        "The keys lie in <home>/privacy/keys.db, or where $SERINUS_SUBJECT_KEYS says: another file, or "
        "postgresql://user@host:5432/database, its password in the file that "
        "$SERINUS_SUBJECT_KEYS_PASSWORD_FILE names. $SERINUS_MASTER_KEY names the file of the key that opens them."
    )
    for function in (status, show, hold, release, rotate, seal):
        app.command()(function)
    app.command("erase")(erase_command)
    app.command("copy")(copy_command)
    return app


def status(
    mend: Annotated[
        bool, typer.Option("--mend", help="Destroy again what a restored backup brought back.")
    ] = False,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Say how many keys there are, which erasures are unfinished, and whether a backup undid any.

    Exit code 1 if something has to be done.
    """
    installation = existing_home(home)
    store = open_store(installation)
    recorded = recorded_erasures(AuditLog(installation.audit))
    back = [key for key in recorded if _living(store, key)]
    mended = store.destroy_again({key: recorded[key] for key in back}) if mend else []
    if mend and recorded:
        forget_again(installation, recorded)  # outcomes lie in the home, whose backup is another
    kept, destroyed = store.counts()
    unfinished = store.unfinished()
    wrong = bool(unfinished) or len(mended) < len(back)
    if output is Output.json:
        print_json(
            {
                "store": store.where,
                "keys": kept,
                "destroyed": destroyed,
                "columns": store.kinds(),
                "unfinished": [{"erasure": name, "since": since} for name, since in unfinished],
                "came_back": [] if mend else back,
                "destroyed_again": mended,
            }
        )
    else:
        columns = ", ".join(store.kinds()) or "none yet"
        typer.echo(
            f"{store.where}: {counted(kept, 'key')}, {destroyed:,} destroyed; persons are named by: {columns}"
        )
        for name, since in unfinished:
            typer.echo(
                f"Erasure {name}, begun {since}, is unfinished: repeat `serinus privacy erase` for that person."
            )
        if mended:
            typer.echo(f"{counted(len(mended), 'key')} that a backup had brought back: destroyed again.")
        elif back:
            typer.echo(
                f"{counted(len(back), 'key')} whose destruction is on record: here again, a backup was restored. "
                "Run `serinus privacy status --mend`."
            )
    if wrong:
        raise typer.Exit(1)


def _living(store: KeyStore, key: str) -> bool:
    from serinus.privacy import Withheld

    with suppress(Withheld):
        store.key(key)
        return True
    return False


def show(
    subject: SubjectArgument,
    column: KindOption = None,
    acting: AsOption = None,
    home: HomeOption = None,
) -> None:
    """Show all that is kept of a person, as JSON: for a request for access (GDPR, article 15).

    Decisions with their features, reasons and outcomes, from every log of the home, each verified up
    to there; `shadow` marks what a candidate decided on a copy, which answered nobody. Who asked is
    recorded in the audit log, of whom is not.
    """
    installation = existing_home(home)
    who = current_identity(acting)
    Access(installation).require(who, "privacy.show", "a person")
    store = open_store(installation)
    kind = _kind(store, column)
    mark = store.mark(kind, subject)
    living, gone = store.keys_of(mark), store.erased_of(mark)
    entries = list(entries_of([installation.decisions], {*living, *gone}, read_gaps(installation.root)))
    AuditLog(installation.audit).append(
        actor=who, action="privacy-show", subject="a person", details={"keys": sorted({*living, *gone})}
    )
    shadows = shadows_of(AuditLog(installation.audit))
    held = store.held(mark)
    decided = [(e.model, e.time) for e in entries]
    print_json(
        {
            "subject": subject,
            "column": kind,
            "keys": [{"id": key, "created": created} for key, created in living.items()],
            "erased": [{"id": key, "at": at} for key, at in gone.items()],
            "hold": None if held is None else held._asdict(),
            "kept_until": duty(load_retention(installation.root), decided, time.time()),
            "decisions": [_shown(e, store, shadows) for e in entries],
            "outcomes": outcomes_of(installation.decisions, {e.id for e in entries}),
        }
    )


def _shown(entry: Entry, store: KeyStore, shadows: Shadows) -> dict[str, Any]:
    """A decision, and whether it was of a copy: kept like any other, but nobody was answered by it."""
    event = decode_decision(entry.body, store)
    shadow = shadows.holds(event.data.digest, datetime.fromisoformat(event.time).timestamp())
    return {"log": str(entry.log), "shadow": shadow, "event": event}


def erase_command(
    subject: SubjectArgument,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for the audit log: a case number, never the person.")
    ],
    column: KindOption = None,
    override: Annotated[
        str,
        typer.Option(
            help="Why a duty to keep does not hold here, where privacy.yaml allows that to be said."
        ),
    ] = "",
    store_url: StoreOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Erase a person: destroy their keys, so that nobody can ever read what the logs hold of them.

    Irreversible. Every copy of the log loses it at once; every chain still verifies. Outcomes and
    histories are forgotten too. Interrupted, it is finished by repeating it. Exit code 1 if a hold
    or a duty to keep stands against it.
    """
    installation = existing_home(home)
    who = current_identity(acting)
    Access(installation).require(who, "privacy.erase", "a person")
    store = open_store(installation)
    kind = _kind(store, column)
    asked = Asked(kind=kind, subject=subject, by=who, reason=reason, override=override)
    retention = load_retention(installation.root)
    keys = len(store.keys_of(store.mark(kind, subject)))
    if not yes and (keys or store.is_unfinished(store.mark(kind, subject))):
        may_erase(installation, store, asked, now=time.time(), retention=retention)
        what = "it seals" if keys == 1 else "they seal"
        _ask(f"Destroy {counted(keys, 'key')} of this person? What {what} can never be read again")
    result = erase(
        installation,
        store,
        asked,
        now=time.time(),
        retention=retention,
        forget=_histories(installation, store_url or os.environ.get("SERINUS_STORE"), kind),
    )
    if output is Output.json:
        print_json(result)
        return
    said = {
        "nothing": "Nothing was ever sealed for that person here.",
        "already": f"Erased before, on {(result.erased_at or '')[:10]}; nothing was sealed for that person since.",
        "erased": f"Erased ({result.erasure}): {counted(len(result.keys), 'key')} destroyed, "
        f"{counted(result.decisions, 'decision')} unreadable, {counted(result.outcomes, 'line')} of outcomes blanked.",
    }
    typer.echo(said[result.verdict])
    if result.histories:
        typer.echo(f"{counted(result.histories, 'history', 'histories')} in Redis forgotten.")


def _ask(question: str) -> None:
    """Go on if somebody says yes. Raises ``Abort``, and ``UsageError`` where nobody is there to say anything."""
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as error:
        if isinstance(error.__context__, EOFError):
            typer.echo(err=True)  # the question stands on its line
            raise click.UsageError("nobody is here to be asked; nothing was erased. Add --yes.") from None
        raise


def hold(
    subject: SubjectArgument,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for the store: the matter, never the person.")
    ],
    column: KindOption = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Hold a person's keys against erasure, for a dispute or an investigation."""
    installation, who, store, mark = _someone(subject, column, acting, home, "privacy.hold")
    if subject in reason:
        raise click.UsageError("--reason names the person")
    # Held first: a hold without its entry harms nobody, an entry of a hold that was refused would mislead.
    store.hold(mark, Hold(datetime.now(UTC).isoformat(timespec="seconds"), who, reason))
    AuditLog(installation.audit).append(
        actor=who, action="privacy-hold", subject="a person", reason=reason,
        details={"keys": list(store.keys_of(mark))},
    )  # fmt: skip
    if output is Output.json:
        print_json({"held": True, "by": who, "keys": list(store.keys_of(mark))})
        return
    typer.echo("Held: no erasure until `serinus privacy release`.")


def release(
    subject: SubjectArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why the hold ends.")],
    column: KindOption = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """End a hold."""
    installation, who, store, mark = _someone(subject, column, acting, home, "privacy.hold")
    AuditLog(installation.audit).append(
        actor=who, action="privacy-release", subject="a person", reason=reason,
        details={"keys": list(store.keys_of(mark))},
    )  # fmt: skip
    released = store.release(mark)
    if output is Output.json:
        print_json({"released": released, "by": who})
        return
    typer.echo("Released." if released else "Nothing was held for that person.")


def rotate(
    to: Annotated[
        Path | None,
        typer.Option("--to", help="File of the new master key (default: made, in the old one's place)."),
    ] = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Wrap every key with a new master key. The old one, and each backup of the store, opens nothing then.

    With $SERINUS_MASTER_KEY give --to, and name the new file there afterwards.
    """
    installation = existing_home(home)
    who = current_identity(acting)
    Access(installation).require(who, "keys.manage", "the master key")
    given = os.environ.get("SERINUS_MASTER_KEY")
    if given and to is None:
        raise click.UsageError("$SERINUS_MASTER_KEY names the master key; give --to FILE with a new one")
    store = open_store(installation)
    place = installation.root / "privacy" / "master.key"
    aside = place.with_name(place.name + ".new")
    master = MasterKey.load(to) if to is not None else MasterKey.create(aside)
    AuditLog(installation.audit).append(
        actor=who, action="privacy-rotate", subject="master key", details={"to": master.id}
    )
    count = store.rewrap(master)
    if to is None:
        os.replace(aside, place)
    if output is Output.json:
        print_json({"keys": count, "master": master.id})
        return
    typer.echo(
        f"{counted(count, 'key')} wrapped by {master.id} now; destroy the old master key and its copies."
    )


def seal(
    source: Annotated[
        Path, typer.Argument(help='Protected attributes, JSON lines: {"request_id": …, "attributes": {…}}.')
    ],
    target: Annotated[Path, typer.Argument(help="Where the sealed file is written; may be the same.")],
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Seal a restricted file of protected attributes with the keys of the decisions it belongs to.

    `python -m serving.outcomes --protected` reads it sealed. Destroy the file in clear afterwards.
    """
    installation = existing_home(home)
    done = seal_protected(
        source, target, [installation.decisions], open_store(installation), read_gaps(installation.root)
    )
    if output is Output.json:
        print_json(done)
        return
    typer.echo(f"{target}: {counted(done.sealed, 'line')} sealed, {done.before:,} sealed before")
    if done.clear:
        typer.echo(
            f"{counted(done.clear, 'line')} in clear as before: decisions that are not sealed, or not in these logs."
        )
    if done.left_out:
        typer.echo(
            f"{counted(done.left_out, 'line')} left out: of persons who are erased, or whose keys are not here."
        )


def _someone(
    subject: str, column: str | None, acting: str | None, home: Path | None, action: str
) -> tuple[Home, str, KeyStore, bytes]:
    installation, who = existing_home(home), current_identity(acting)
    Access(installation).require(who, action, "a person")
    store = open_store(installation)
    return installation, who, store, store.mark(_kind(store, column), subject)


def _kind(store: KeyStore, column: str | None) -> str:
    kinds = store.kinds()
    if column is not None:
        if column not in kinds:
            raise click.UsageError(
                f"--column {column}: persons are named here by {', '.join(kinds) or 'nothing yet'}"
            )
        return column
    named = [kind for kind in kinds if kind != "request"] or kinds
    if len(named) != 1:
        raise click.UsageError(
            f"give --column: persons are named here by {', '.join(named) or 'nothing yet'}"
        )
    return named[0]


def _histories(home: Home, url: str | None, column: str) -> list[Forget]:
    if url is None or not url.startswith(("redis://", "rediss://", "unix://")):
        return []
    from serinus.features.online.forget import RedisHistories
    from serinus.features.online.link import password_from

    histories = RedisHistories(url, _contracts(home), password=password_from(os.environ))
    return [lambda subject: histories.forget(column, subject)]


def _contracts(home: Home) -> list[Contract]:
    """Of every version that is registered and here."""
    registry = Registry(home)
    found: list[Contract] = []
    for version in (v for model in registry.models() for v in registry.versions(model)):
        path = Path(version.path) / "contract.json"
        if path.is_file():
            found.append(parse_contract(msgspec.json.decode(path.read_bytes()), where=str(path)))
    return found
