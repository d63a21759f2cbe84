"""The registry of one installation: SQLite, every change in the audit log first."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import msgspec

from serinus.access import Access, Judgement
from serinus.access.approving import tier_name
from serinus.audit import AuditLog
from serinus.bundle import Bundle, Keyring, open_bundle
from serinus.errors import SerinusError
from serinus.home import Home, beside
from serinus.registry import approvals
from serinus.registry.policy import Approval, check_retirement, check_stage
from serinus.registry.records import Turn, Version, facts_of, one_of
from serinus.registry.registration import bundle_place
from serinus.registry.schema import migrate


class Registry:
    """Versions, stages and approvals of one installation.

    Every method opens its own short transaction, so several processes may use
    one registry. A change is written to the audit log inside the transaction:
    what cannot be recorded does not happen.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        self.home = home
        self._clock = clock
        self.audit = AuditLog(home.audit, clock)
        self.access = Access(home, clock=clock)

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """A transaction of its own; an exception undoes all of it.

        Raises:
            SerinusError: ``SRN-REGISTRY-001`` the database cannot be used; ``-006`` a newer serinus made it.
        """
        connection = None
        try:
            connection = sqlite3.connect(self.home.registry_db, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            migrate(connection, self.home)
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise SerinusError(
                "SRN-REGISTRY-001",
                f"the registry cannot be used ({error})",
                where=str(self.home.root / "registry.db"),
                hint="Check free disk space and the file's permissions; nothing was changed.",
            ) from error
        finally:
            if connection is not None:
                connection.close()  # an open transaction is rolled back

    def now(self) -> str:
        """The clock's time as the registry writes it: ISO 8601 in UTC, to the millisecond."""
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")

    def next_version(self, model: str) -> int:
        """One more than the highest version of the model, 1 for a new one."""
        with self.transaction() as db:
            row = db.execute("SELECT coalesce(max(version), 0) AS n FROM versions WHERE model = ?", (model,))
            return int(row.fetchone()["n"]) + 1

    def register(
        self,
        bundle: Bundle,
        *,
        by: str,
        owner: str,
        run: str,
        stage: str = "validated",
        commit: str = "",
        source: str = "",
    ) -> Version:
        """Enter a bundle as a version. Registering the same digest again changes nothing, but that the
        signer is noted where another key has signed it since.

        Args:
            bundle: purpose, tier, lineage and signer are what it says of itself.
            by: who built it; ``owner``: who answers for it; ``run``: the pipeline run that made it.
            stage: where it begins.
            commit: of the repository that the code came from; the bundle knows the code by content only.
            source: where the records were read.

        Raises:
            SerinusError: ``SRN-REGISTRY-004`` if the version exists with another digest; ``SRN-ACCESS-009``
                its tier is none.
        """
        facts = facts_of(bundle.path)
        tier_name(facts.tier)
        data = msgspec.structs.replace(facts.lineage.data, source=source)
        version = Version(
            model=bundle.name,
            version=bundle.version,
            digest=bundle.digest,
            path=str(bundle.path),
            stage=stage,
            owner=owner,
            built_by=by,
            run=run,
            created=self.now(),
            purpose=facts.purpose,
            tier=facts.tier,
            key=facts.key,
            lineage=msgspec.structs.replace(facts.lineage, commit=commit, data=data),
        )
        return self.enter(version, by=by, reason=f"pipeline run {run}")

    def enter(
        self, version: Version, *, by: str, reason: str, details: Mapping[str, Any] | None = None
    ) -> Version:
        """Enter a version as it is given: as ``register`` does, for whoever has no bundle at hand.

        Args:
            by: who enters it; ``version.built_by`` is who built it.
            details: what the audit log is told besides.

        Raises:
            SerinusError: ``SRN-REGISTRY-004`` as ``register``.
        """
        subject = f"{version.model}/{version.version}"
        with self.transaction() as db:
            row = db.execute(
                "SELECT * FROM versions WHERE model = ? AND version = ?", (version.model, version.version)
            ).fetchone()
            if row is not None:
                if row["digest"] == version.digest:
                    return self._signed_anew(db, _version(row), version.key, by)
                raise SerinusError(
                    "SRN-REGISTRY-004",
                    f"{subject} exists already with another digest ({row['digest'][:23]}…)",
                    where="registry",
                    hint="Versions never change; run the pipeline again to get the next number.",
                )
            fields = msgspec.structs.asdict(version)
            fields["lineage"] = msgspec.json.encode(version.lineage).decode()
            columns = ", ".join(fields)
            marks = ", ".join("?" * len(fields))
            db.execute(f"INSERT INTO versions ({columns}) VALUES ({marks})", tuple(fields.values()))
            self._turn(db, version.model, version.version, version.stage, version.created, by, reason)
            self.audit.append(
                actor=by,
                action="register",
                subject=subject,
                reason=reason,
                details={
                    "digest": version.digest,
                    "stage": version.stage,
                    "owner": version.owner,
                    "key": version.key,
                    "data": version.lineage.data.digest,
                    "commit": version.lineage.commit,
                    **(details or {}),
                },
            )
        return version

    def _signed_anew(self, db: sqlite3.Connection, version: Version, key: str, by: str) -> Version:
        if key in (version.key, ""):
            return version
        db.execute(
            "UPDATE versions SET key = ? WHERE model = ? AND version = ?",
            (key, version.model, version.version),
        )
        self.audit.append(
            actor=by,
            action="signed-anew",
            subject=f"{version.model}/{version.version}",
            reason=f"by the key {key} instead of {version.key or 'one that was not noted'}",
            details={"digest": version.digest, "key": key},
        )
        return msgspec.structs.replace(version, key=key)

    def models(self) -> list[str]:
        """Names of all registered models, sorted."""
        with self.transaction() as db:
            return [row["model"] for row in db.execute("SELECT DISTINCT model FROM versions ORDER BY model")]

    def versions(self, model: str) -> list[Version]:
        """All versions of a model, oldest first; empty if there is none."""
        with self.transaction() as db:
            rows = db.execute("SELECT * FROM versions WHERE model = ? ORDER BY version", (model,))
            return [_version(row) for row in rows]

    def every_version(self) -> list[Version]:
        """All versions of all models, by model and then number: one look instead of one a model."""
        with self.transaction() as db:
            return [_version(row) for row in db.execute("SELECT * FROM versions ORDER BY model, version")]

    def get(self, model: str, which: int | str = "latest") -> Version:
        """A version by number (``3`` or ``v3``), or ``champion``, ``canary``, ``latest``, or its digest or the first
        eight characters or more of it.

        Raises:
            SerinusError: ``SRN-REGISTRY-002`` if there is none, or more than one, naming what there is.
        """
        versions = self.versions(model)
        if (found := one_of(versions, which)) is not None:
            return found
        number = str(which).removeprefix("v")
        if not versions:
            raise self._no_model(model)
        known = ", ".join(f"{v.version} ({v.stage})" for v in versions)
        raise SerinusError(
            "SRN-REGISTRY-002",
            f"there is no version {number} of {model}"
            if any(letter.isdecimal() for letter in number)
            else f"there is no {which} version of {model}",
            where="registry",
            hint=f"Registered: {known}.",
        )

    def _no_model(self, model: str) -> SerinusError:
        models = self.models()
        name, _, rest = model.replace("@", "/").partition("/")
        if rest and name in models:
            hint = f"Model and version are two words here: {name} {rest}."
        elif models:
            near = get_close_matches(model, models, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            hint += f"Registered models: {', '.join(models)}."
        else:
            hint = f"Registered models: none. Run the pipeline first.{beside(self.home)}"
        what = f"no model {model} is registered here"
        return SerinusError("SRN-REGISTRY-002", what, where="registry", hint=hint)

    def by_digest(self, digest: str) -> Version | None:
        """The version that a bundle's digest was registered as; None if it was not."""
        with self.transaction() as db:
            row = db.execute("SELECT * FROM versions WHERE digest = ?", (digest,)).fetchone()
            return None if row is None else _version(row)

    def bundle(self, version: Version) -> Bundle:
        """The version's bundle, verified by hash and signature, and by the registered digest.

        Raises:
            SerinusError: as ``open_bundle``; ``SRN-REGISTRY-005`` if it is not
                the bundle that was registered; ``-010`` only its papers are here.
        """
        bundle = open_bundle(
            bundle_place(self.home, version),
            trusted=Keyring.load(self.home.keys),
            at=datetime.fromisoformat(version.created),
        )
        if bundle.digest != version.digest:
            raise SerinusError(
                "SRN-REGISTRY-005",
                f"the bundle's digest is {bundle.digest[:23]}…, registered was {version.digest[:23]}…",
                where=version.path,
                hint="The directory was replaced; restore the registered bundle.",
            )
        return bundle

    def set_stage(
        self, model: str, version: int, stage: str, *, by: str, reason: str, since: str | None = None
    ) -> Version:
        """Move a version to another stage; a new champion retires the one before it.

        It records where a version is, after the traffic has moved: whether the words that its tier asks for
        were there is judged before that, by the rollout (``standing`` is for whoever moves traffic otherwise).

        Args:
            since: only if it is in this stage still; else nothing is changed.

        Raises:
            SerinusError: ``SRN-REGISTRY-002`` no such version; ``-003`` not allowed from its stage.
        """
        self.get(model, version)
        subject = f"{model}/{version}"
        with self.transaction() as db:
            # Looked at under the lock: of two who move a version at once, the second sees where the first put it.
            current = _version(
                db.execute(
                    "SELECT * FROM versions WHERE model = ? AND version = ?", (model, version)
                ).fetchone()
            )
            if current.stage == stage or (since is not None and current.stage != since):
                return current
            check_stage(subject, current.stage, stage)
            if stage == "champion":
                for row in db.execute(
                    "SELECT version FROM versions WHERE model = ? AND stage = 'champion'", (model,)
                ).fetchall():
                    other = int(row["version"])
                    self.move(db, model, other, "retired", by=by, reason=f"replaced by {subject}")
            self.move(db, model, version, stage, by=by, reason=reason)
        return self.get(model, version)

    def move(
        self,
        db: sqlite3.Connection,
        model: str,
        version: int,
        stage: str,
        *,
        by: str,
        reason: str,
        time: str = "",
    ) -> None:
        """Enter a move within a transaction; whether it is allowed is the caller's to ask. ``time``: empty for now."""
        db.execute("UPDATE versions SET stage = ? WHERE model = ? AND version = ?", (stage, model, version))
        self._turn(db, model, version, stage, time or self.now(), by, reason)
        self.audit.append(
            actor=by, action="stage", subject=f"{model}/{version}", reason=reason, details={"stage": stage}
        )

    @staticmethod
    def _turn(
        db: sqlite3.Connection, model: str, version: int, stage: str, time: str, by: str, reason: str
    ) -> None:
        db.execute(
            "INSERT INTO history (model, version, stage, time, by, reason) VALUES (?, ?, ?, ?, ?, ?)",
            (model, version, stage, time, by, reason),
        )

    def history(self, model: str, version: int) -> list[Turn]:
        """The stages that a version has been through, oldest first: when, by whom, why."""
        with self.transaction() as db:
            rows = db.execute(
                "SELECT stage, time, by, reason FROM history WHERE model = ? AND version = ? ORDER BY id",
                (model, version),
            )
            return [Turn(**dict(row)) for row in rows]

    def retire(self, model: str, version: int, *, by: str, reason: str, live: bool = False) -> Version:
        """Take a version out of use; its bundle stays, so that its decisions can be explained.

        Args:
            live: retire it although it is the champion: the model then has none.

        Raises:
            SerinusError: ``SRN-REGISTRY-007`` no reason is given; ``-008`` it is the champion or a
                canary, so it answers customers; ``-002`` and ``-003`` as ``set_stage``.
        """
        while True:
            stage = self.get(model, version).stage
            check_retirement(f"{model}/{version}", stage, reason=reason, live=live)
            # Only from where it was looked at: who became champion meanwhile answers customers.
            moved = self.set_stage(model, version, "retired", by=by, reason=reason, since=stage)
            if moved.stage == "retired":
                return moved

    def approve(
        self, model: str, version: int, *, by: str, role: str, reason: str, started_by: str | None = None
    ) -> Approval:
        """Record an approval by a second person; a refused one is recorded too.

        A validated version that thereby has all words that its tier asks for is approved.

        Raises:
            SerinusError: ``SRN-APPROVAL-001`` own work; ``-002`` no reason; ``SRN-ACCESS-005`` not in
                that role; ``-008`` an override without a justification; ``SRN-REGISTRY-002`` no such version.
        """
        return approvals.record(self, model, version, by=by, role=role, reason=reason, started_by=started_by)

    def approvals(self, model: str, version: int) -> list[Approval]:
        """Approvals of a version, oldest first."""
        return approvals.read(self, model, version)

    def standing(self, model: str, version: int) -> Judgement:
        """Whether a version has the words that the policy asks for at its tier, now. Raises as ``load_policy``."""
        return approvals.standing(self, self.get(model, version))


def _version(row: sqlite3.Row) -> Version:
    """Raises ``SRN-REGISTRY-011`` where it is no record of a version."""
    fields: dict[str, Any] = {name: row[name] for name in Version.__struct_fields__}
    try:
        return msgspec.convert(fields | {"lineage": msgspec.json.decode(row["lineage"])}, Version)
    except (TypeError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise SerinusError(
            "SRN-REGISTRY-011",
            f"the record of {row['model']}/{row['version']} cannot be read: {error}",
            where="registry.db",
            hint="Somebody else wrote into the registry, or the file is damaged: put back a copy of it.",
        ) from error
