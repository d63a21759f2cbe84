"""The archive: logs cut to the period, checkpoints, the versions they speak of, and how to verify it all."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import msgspec

from serinus.bundle import Bundle, Keyring, Signature, SigningKey
from serinus.bundle.key_facts import write_retirement
from serinus.bundle.keys import public_pem
from serinus.chain import ChainBroken, find_logs, gaps_log
from serinus.chain.checkpoint import checkpoints_path, lost_logs, read_checkpoints, vouched
from serinus.errors import SerinusError
from serinus.export.cut import Cut, Span, bounds, cut, of_model
from serinus.export.gaps import Missing, Told, declares, missing, told_gaps
from serinus.export.period import Period
from serinus.home import Home
from serinus.registry import Registry, Version

PAPERS = ("card.html", "card.json", "contract.json", "metrics.json", "provenance.json", "validation.json")
"""What of a bundle an auditor reads; the model itself stays where it is, named by its digest."""


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds: ``index.json`` inside it, and where it was written.

    Attributes:
        complete: whether nothing is ``missing`` between the first and the last entry of any log.
    """

    archive: str
    model: str | None
    period: Period
    made: str
    by: str
    key: str
    logs: tuple[Cut, ...]
    without_entries: tuple[str, ...]
    complete: bool
    missing: tuple[Missing, ...]
    versions: tuple[Version, ...]
    checkpoints: int


def export_archive(
    home: Home,
    period: Period,
    model: str | None,
    out: Path,
    *,
    by: str,
    now: float,
    progress: Callable[[Path], None] = lambda log: None,
) -> Exported:
    """Write the archive, whole or not at all; what is exported is recorded in the audit log first.

    Args:
        model: only what concerns this model; None for all.
        out: a ``.tar.gz`` that does not exist yet.
        by: who exports.
        now: seconds since the epoch.
        progress: told of each log before it is read.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` a log is gone, or broken at a gap that was not told, or not what a
            checkpoint vouches for; ``-004``, ``-010`` it cannot be read; ``-008`` a checkpoint is false; ``-009``
            the period holds nothing, or ``out`` exists; ``SRN-HOME-001``/``-002`` the archive cannot be written.
    """
    if out.exists():
        raise SerinusError(
            "SRN-AUDIT-009", "the file exists already", where=str(out), hint="Name another one with --out."
        )
    registry = Registry(home)
    about = f" for {model}" if model else ""
    places = [home.audit, home.decisions]
    found, trusted = list(find_logs(places)), Keyring.load(home.keys)
    for lost in lost_logs(places, found, trusted):
        raise ChainBroken.of(lost)
    told = told_gaps(home.root, trusted)
    spans: dict[Path, Span] = {}
    for log in found:
        progress(log)
        signed = vouched(read_checkpoints(checkpoints_path(log)), trusted, log)
        try:
            span = bounds(log, period, of_model(model), told.gaps.of(log), signed)
        except ChainBroken:
            # An archive at work may have told a gap since, and gone on behind it.
            told = told_gaps(home.root, trusted)
            span = bounds(log, period, of_model(model), told.gaps.of(log), signed)
        if span is not None:
            spans[log] = span
    if not spans:
        raise SerinusError(
            "SRN-AUDIT-009",
            f"no log has an entry in {period.name} ({period.start} to {period.end}, the end left out, UTC)",
            where=str(home.root),
            hint="Check the period and --home; `serinus audit list` shows what there is.",
        )
    holes = sum(len(span.gaps) for span in spans.values())
    but = f", {holes} told gap{'' if holes == 1 else 's'} in it" if holes else ""
    registry.audit.append(
        actor=by,
        action="audit.export",
        subject=model or "",
        reason=f"{period.name}{about} to {out.name}{but}",
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        top = directory / out.name.removesuffix(".tar.gz")
        exported = _fill(
            home, registry, period, model, top, spans, told, found, by=by, now=now, archive=str(out)
        )
        packed = directory / "packed"
        with tarfile.open(packed, "w:gz") as tar:
            tar.add(top, arcname=top.name)
        packed.rename(out)
        return exported
    except OSError as error:
        raise SerinusError(
            "SRN-HOME-002",
            f"the archive cannot be written ({error.strerror})",
            where=str(out),
            hint="Free space or name another place with --out; nothing was left behind.",
        ) from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _fill(
    home: Home,
    registry: Registry,
    period: Period,
    model: str | None,
    top: Path,
    spans: dict[Path, Span],
    told: Told,
    found: Iterable[Path],
    *,
    by: str,
    now: float,
    archive: str,
) -> Exported:
    key, trusted = SigningKey.load_or_create(home.keys), Keyring.load(home.keys)
    cuts: list[Cut] = []
    shown: set[Path] = set()
    gone: list[Missing] = []
    signed = 0
    (top / "logs").mkdir(parents=True)
    for log, span in spans.items():
        name = _name(home, log)
        known = told.gaps.of(log)
        vouching = [c.seq for c in read_checkpoints(checkpoints_path(log))] if span.gaps else []
        gone += missing(name, span.gaps, known.values(), vouching)
        if not span.first:
            continue
        target = top / "logs" / name
        with target.open("wb") as file:
            piece = cut(log, span, of_model(model), file, name=name, known=known)
        if piece.shown == 0:
            target.unlink()
            continue
        cuts.append(piece)
        shown.add(log)
        signed += _checkpoints(log, piece, trusted, top / "checkpoints" / name)
    if gone:
        gaps = {gap for span in spans.values() for gap in span.gaps}
        log, name = gaps_log(home.root), _name(home, gaps_log(home.root))
        with (top / "logs" / name).open("wb") as file:
            piece = cut(log, Span(1, told.entries, ()), declares(gaps), file, name=name)
        cuts.append(piece)
        signed += _checkpoints(log, piece, trusted, top / "checkpoints" / name)
    versions = [v for name in ([model] if model else registry.models()) for v in registry.versions(name)]
    for version in versions:
        name = f"{version.model}-{version.version}"
        try:
            bundle = registry.bundle(version)
        except SerinusError as error:
            # What does not verify is what an auditor wants to hear of, not a reason to give him nothing.
            _refused(version, error, top / "refused" / f"{name}.json")
            continue
        _version(registry, version, bundle, top / "versions" / name)
    exported = Exported(
        archive=archive,
        model=model,
        period=period,
        made=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        by=by,
        key=key.id,
        logs=tuple(cuts),
        without_entries=tuple(str(log) for log in found if log not in shown),
        complete=not gone,
        missing=tuple(gone),
        versions=tuple(versions),
        checkpoints=signed,
    )
    (top / "index.json").write_bytes(msgspec.json.format(msgspec.json.encode(exported), indent=2))
    for name in ("README.txt", "verify.sh"):
        (top / name).write_bytes(files("serinus.export").joinpath(name).read_bytes())
    (top / "keys").mkdir()
    for name, public in trusted.public().items():
        (top / "keys" / f"{name}.pem").write_bytes(public_pem(public))
    for retirement in trusted.retired.values():
        write_retirement(top / "keys", retirement)
    (top / "signer").write_text(key.id)
    sums = "".join(
        f"{_sha256(path)}  {path.relative_to(top)}\n" for path in sorted(top.rglob("*")) if path.is_file()
    )
    (top / "SHA256SUMS").write_text(sums)
    (top / "SHA256SUMS.sig").write_bytes(bytes.fromhex(key.sign(sums).value))
    return exported


def _name(home: Home, log: Path) -> str:
    """A log's name in the archive: its place below the installation."""
    return ".".join(log.relative_to(home.root).parts)


def _checkpoints(log: Path, piece: Cut, trusted: Keyring, into: Path) -> int:
    """The sound checkpoints of the entries that were cut out; how many."""
    found = sorted(read_checkpoints(checkpoints_path(log)), key=lambda checkpoint: checkpoint.seq)
    vouched(found, trusted, log)
    inside = [c for c in found if piece.first <= c.seq <= piece.last]
    for checkpoint in inside:
        into.mkdir(parents=True, exist_ok=True)
        (into / f"{checkpoint.seq}.txt").write_text(checkpoint.text())
        _signature(checkpoint.signature, into / f"{checkpoint.seq}.sig", into / f"{checkpoint.seq}.signer")
    return len(inside)


def _refused(version: Version, error: SerinusError, into: Path) -> None:
    into.parent.mkdir(exist_ok=True)
    document = {"version": version, "error": error.to_dict()}
    into.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2))


def _version(registry: Registry, version: Version, bundle: Bundle, into: Path) -> None:
    into.mkdir(parents=True)
    for name in ("manifest.json", *PAPERS):
        if (bundle.path / name).is_file():
            shutil.copyfile(bundle.path / name, into / name)
    (into / "digest").write_text(bundle.digest)
    signature = msgspec.json.decode((bundle.path / "signature.json").read_bytes(), type=Signature)
    _signature(signature, into / "digest.sig", into / "signer")
    (into / "registry.json").write_bytes(
        msgspec.json.format(
            msgspec.json.encode(
                {"version": version, "approvals": registry.approvals(version.model, version.version)}
            ),
            indent=2,
        )
    )


def _signature(signature: Signature, into: Path, signer: Path) -> None:
    into.write_bytes(bytes.fromhex(signature.value))
    signer.write_text(signature.key_id)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
