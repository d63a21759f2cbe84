"""The join itself, in SQLite: decisions wait for their labels on the disk, not in memory.

Lines and the places up to which files were read are written in one transaction,
so a killed process goes on as if nothing had happened: nothing is joined twice
and nothing is left out.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serinus import metrics
from serinus.database import create_private
from serinus.errors import SerinusError
from serinus.follow import Place
from serving.outcomes.business import Cell
from serving.outcomes.records import Decided, Groups, Outcome, Review

Floats = NDArray[np.float64]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    id TEXT PRIMARY KEY, at REAL NOT NULL, predictor TEXT NOT NULL, version INTEGER NOT NULL,
    probability REAL NOT NULL, decision TEXT NOT NULL, bad INTEGER, labelled_at REAL, counted INTEGER DEFAULT 0,
    key TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_time ON decisions (predictor, at);
CREATE INDEX IF NOT EXISTS referred ON decisions (predictor, at) WHERE decision = 'review';
CREATE INDEX IF NOT EXISTS uncounted ON decisions (at) WHERE bad IS NOT NULL AND counted = 0;
CREATE TABLE IF NOT EXISTS early (id TEXT PRIMARY KEY, bad INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS groups (
    id TEXT NOT NULL, attribute TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (id, attribute)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reviews (
    id TEXT PRIMARY KEY, bad INTEGER NOT NULL, leaning INTEGER NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS places (key TEXT PRIMARY KEY, path TEXT NOT NULL, offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outcomes (
    predictor TEXT, decision TEXT, outcome TEXT, n INTEGER NOT NULL, PRIMARY KEY (predictor, decision, outcome)
);
CREATE TABLE IF NOT EXISTS taken (predictor TEXT PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS results (result TEXT PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS memory (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS delays (bucket INTEGER PRIMARY KEY, n INTEGER NOT NULL, total REAL NOT NULL);
"""
RESULTS = ("joined", "early", "corrected", "repeated", "unreadable", "expired", "sealed", "erased")


class Store:
    """Decisions and their outcomes of one model.

    Args:
        path: the database; None keeps it in memory. Readable by its owner only,
            since it may hold protected attributes.

    Raises:
        SerinusError: ``SRN-OUTCOMES-001`` if it cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._where = str(path) if path else ":memory:"
        try:
            if path is not None:
                create_private(path)
            self._db = sqlite3.connect(self._where, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA secure_delete = ON")  # who is erased is not left in free pages
            self._db.executescript(_SCHEMA)
            if "key" not in {column[1] for column in self._db.execute("PRAGMA table_info(decisions)")}:
                self._db.execute("ALTER TABLE decisions ADD COLUMN key TEXT NOT NULL DEFAULT ''")
            self._db.execute("CREATE INDEX IF NOT EXISTS by_key ON decisions (key) WHERE key <> ''")
        except (OSError, sqlite3.Error) as error:
            raise _unusable(self._where, error) from error

    def close(self) -> None:
        """Release the database."""
        self._db.close()

    # --- writing -----------------------------------------------------------

    def apply(
        self,
        *,
        decided: Sequence[Decided] = (),
        outcomes: Sequence[Outcome] = (),
        groups: Sequence[Groups] = (),
        reviews: Sequence[Review] = (),
        unreadable: int = 0,
        sealed: int = 0,
        places: Iterable[Place] = (),
    ) -> None:
        """Take lines in, whole or not at all.

        A later, different label replaces the first and is counted as corrected.

        Raises:
            SerinusError: ``SRN-OUTCOMES-001`` if the database cannot be written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                results = Counter({"unreadable": unreadable, "sealed": sealed})
                self._decided(decided, results)
                for outcome in outcomes:
                    results[self._outcome(outcome)] += 1
                self._db.executemany(
                    "INSERT OR REPLACE INTO groups VALUES (?, ?, ?)",
                    [(g.id, attribute, value) for g in groups for attribute, value in g.attributes.items()],
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO reviews VALUES (?, ?, ?, ?)",
                    [(r.id, r.bad, r.leaning, r.at) for r in reviews],
                )
                self._add_results(results)
                self._db.executemany(
                    "INSERT OR REPLACE INTO places VALUES (?, ?, ?)",
                    [(p.key, str(p.path), p.offset) for p in places],
                )
                self._db.execute("COMMIT")
            except BaseException:
                self._undo()
                raise
        except sqlite3.Error as error:
            raise _unusable(self._where, error) from error

    def _undo(self) -> None:
        if self._db.in_transaction:  # a full disk has undone it already, and that is what is to be told
            self._db.execute("ROLLBACK")

    def _decided(self, decided: Sequence[Decided], results: Counter[str]) -> None:
        taken: Counter[str] = Counter()
        for d in decided:
            new = self._db.execute(
                "INSERT OR IGNORE INTO decisions (id, at, predictor, version, probability, decision, key) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (d.id, d.at, d.predictor, d.version, d.probability, d.decision, d.key),
            ).rowcount
            if not new:
                results["repeated"] += 1
                continue
            taken[d.predictor] += 1
            early = self._db.execute("DELETE FROM early WHERE id = ? RETURNING bad, at", (d.id,)).fetchone()
            if early is not None:
                results[self._outcome(Outcome(d.id, bool(early[0]), early[1]))] += 1
        self._db.executemany(
            "INSERT INTO taken VALUES (?, ?) ON CONFLICT (predictor) DO UPDATE SET n = n + excluded.n",
            list(taken.items()),
        )

    def _outcome(self, outcome: Outcome) -> str:
        found = self._db.execute(
            "SELECT at, bad, labelled_at FROM decisions WHERE id = ?", (outcome.id,)
        ).fetchone()
        if found is None:
            self._db.execute(
                "INSERT OR REPLACE INTO early VALUES (?, ?, ?)", (outcome.id, outcome.bad, outcome.at)
            )
            return "early"
        at, before, labelled_at = found
        if before is not None and (
            bool(before) == outcome.bad or (outcome.word and outcome.at < labelled_at)
        ):
            return "repeated"
        self._db.execute(
            "UPDATE decisions SET bad = ?, labelled_at = ? WHERE id = ?",
            (outcome.bad, outcome.at, outcome.id),
        )
        if before is not None:
            return "corrected"
        delay = max(0.0, outcome.at - at)
        self._db.execute(
            "INSERT INTO delays VALUES (?, 1, ?) "
            "ON CONFLICT (bucket) DO UPDATE SET n = n + 1, total = total + excluded.total",
            (bisect_left(metrics.LABEL_DELAY_EDGES, delay), delay),
        )
        return "joined"

    def _add_results(self, results: Counter[str]) -> None:
        self._db.executemany(
            "INSERT INTO results VALUES (?, ?) ON CONFLICT (result) DO UPDATE SET n = n + excluded.n",
            [(result, n) for result, n in results.items() if n],
        )

    def mature(self, before: float) -> None:
        """Count the outcomes of labelled decisions taken before this time.

        Not as labels arrive: a new canary has only the quick ones yet, which are mostly
        bad (a fraud is reported, its absence is not), while the champion's arrivals are
        of all ages. Decisions of one age are comparable; once counted, they stay so.

        Raises:
            SerinusError: ``SRN-OUTCOMES-001`` if the database cannot be written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute(
                    "INSERT INTO outcomes SELECT predictor, decision, iif(bad, 'bad', 'good'), count(*) "
                    "FROM decisions WHERE bad IS NOT NULL AND counted = 0 AND at < ? "
                    "GROUP BY predictor, decision, bad "
                    "ON CONFLICT (predictor, decision, outcome) DO UPDATE SET n = n + excluded.n",
                    (before,),
                )
                self._db.execute(
                    "UPDATE decisions SET counted = 1 WHERE bad IS NOT NULL AND counted = 0 AND at < ?",
                    (before,),
                )
                self._db.execute("COMMIT")
            except BaseException:
                self._undo()
                raise
        except sqlite3.Error as error:
            raise _unusable(self._where, error) from error

    def forget(self, before: float) -> int:
        """Drop what was decided before this time; those never labelled are counted as expired."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                (expired,) = self._db.execute(
                    "SELECT count(*) FROM decisions WHERE at < ? AND bad IS NULL", (before,)
                ).fetchone()
                self._db.execute(
                    "DELETE FROM groups WHERE id IN (SELECT id FROM decisions WHERE at < ?)", (before,)
                )
                self._db.execute(
                    "DELETE FROM reviews WHERE id IN (SELECT id FROM decisions WHERE at < ?)", (before,)
                )
                gone = self._db.execute("DELETE FROM decisions WHERE at < ?", (before,)).rowcount
                # A label whose decision never came has no time of decision; its own must do.
                lost = self._db.execute("DELETE FROM early WHERE at < ?", (before,)).rowcount
                self._add_results(Counter({"expired": expired + lost}))
                self._db.execute("COMMIT")
            except BaseException:
                self._undo()
                raise
        except sqlite3.Error as error:
            raise _unusable(self._where, error) from error
        return gone

    def erase(self, keys: Sequence[str], heard: str) -> int:
        """Drop the decisions that were sealed with these keys, and what belongs to them; how many.

        Counts of outcomes stay: they name nobody.

        Args:
            heard: the position of the last destroyed key that was heard of; see ``heard``.

        Raises:
            SerinusError: ``SRN-OUTCOMES-001`` if the database cannot be written.
        """
        gone = 0
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for key in keys:
                    mine = "(SELECT id FROM decisions WHERE key = ?)"
                    for table in ("groups", "reviews"):
                        self._db.execute(f"DELETE FROM {table} WHERE id IN {mine}", (key,))
                    gone += self._db.execute("DELETE FROM decisions WHERE key = ?", (key,)).rowcount
                self._add_results(Counter({"erased": gone}))
                self._db.execute("INSERT OR REPLACE INTO memory VALUES ('erasures', ?)", (heard.encode(),))
                self._db.execute("COMMIT")
            except BaseException:
                self._undo()
                raise
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise _unusable(self._where, error) from error
        return gone

    # --- reading -----------------------------------------------------------

    def heard(self) -> str:
        """The position of the last destroyed key that was heard of; empty for none."""
        found = (self.recall("erasures") or b"").decode()
        return "" if found == "0" else found

    def places(self) -> dict[str, int]:
        """How far each file was read, by key."""
        return dict(self._db.execute("SELECT key, offset FROM places").fetchall())

    def outcome_counts(self) -> dict[tuple[str, str, str], int]:
        """Decisions counted by ``mature``, by predictor, decision and outcome, since the store was made."""
        return {(p, d, o): n for p, d, o, n in self._db.execute("SELECT * FROM outcomes").fetchall()}

    def decision_counts(self) -> dict[str, int]:
        """Decisions taken in by predictor, since the store was made."""
        return dict(self._db.execute("SELECT predictor, n FROM taken").fetchall())

    def result_counts(self) -> dict[str, int]:
        """Labels and lines by what became of them."""
        return dict.fromkeys(RESULTS, 0) | dict(self._db.execute("SELECT * FROM results").fetchall())

    def delay_counts(self) -> tuple[list[int], float]:
        """Counts by bucket of ``metrics.LABEL_DELAY_EDGES`` (and one beyond), and the sum in seconds."""
        counts, total = [0] * (len(metrics.LABEL_DELAY_EDGES) + 1), 0.0
        for bucket, n, part in self._db.execute("SELECT * FROM delays").fetchall():
            counts[bucket] = n
            total += part
        return counts, total

    def predictors(self) -> list[str]:
        """Predictors that decided anything that is still kept."""
        found = self._db.execute("SELECT DISTINCT predictor FROM decisions ORDER BY predictor").fetchall()
        return [predictor for (predictor,) in found]

    def coverage(self, predictor: str, since: float, due: float) -> tuple[int, int]:
        """(labelled, all) decisions of ``[since, due)``: those whose label should be here."""
        labelled, total = self._db.execute(
            "SELECT count(bad), count(*) FROM decisions WHERE predictor = ? AND at >= ? AND at < ?",
            (predictor, since, due),
        ).fetchone()
        return int(labelled), int(total)

    def labelled(self, predictor: str, limit: int) -> tuple[Floats, Floats]:
        """The latest labelled decisions: probability and outcome (1 is bad), each of shape (n,)."""
        return _columns(
            self._db.execute(
                "SELECT probability, bad FROM decisions "
                "WHERE predictor = ? AND bad IS NOT NULL ORDER BY at DESC LIMIT ?",
                (predictor, limit),
            ).fetchall()
        )

    def between(self, predictor: str, version: int, since: float, until: float) -> tuple[Floats, Floats]:
        """Labelled decisions of one version in ``[since, until)``, oldest first: probability and outcome."""
        return _columns(
            self._db.execute(
                "SELECT probability, bad FROM decisions WHERE predictor = ? AND version = ? "
                "AND at >= ? AND at < ? AND bad IS NOT NULL ORDER BY at",
                (predictor, version, since, until),
            ).fetchall()
        )

    def first(self, predictor: str, version: int) -> float | None:
        """When the earliest kept decision of a version was taken."""
        found = self._db.execute(
            "SELECT min(at) FROM decisions WHERE predictor = ? AND version = ?", (predictor, version)
        ).fetchone()
        return found[0]

    def latest(self, predictor: str, limit: int) -> tuple[int, int]:
        """(all, referred to a person) of the latest decisions."""
        total, referred = self._db.execute(
            "SELECT count(*), coalesce(sum(decision = 'review'), 0) FROM "
            "(SELECT decision FROM decisions WHERE predictor = ? ORDER BY at DESC LIMIT ?)",
            (predictor, limit),
        ).fetchone()
        return int(total), int(referred)

    def referred(self, predictor: str) -> list[Cell]:
        """Kept decisions that were referred to a person, by answer, leaning and outcome."""
        return self._cells("d.predictor = ? AND d.decision = 'review'", (predictor,))

    def settled(self, predictor: str, mature: float, limit: int) -> list[Cell]:
        """The latest labelled decisions taken before ``mature``, by decision, answer and outcome."""
        return self._cells(
            "d.id IN (SELECT id FROM decisions WHERE predictor = ? AND at < ? AND bad IS NOT NULL "
            "ORDER BY at DESC LIMIT ?)",
            (predictor, mature, limit),
        )

    def _cells(self, where: str, values: Sequence[object]) -> list[Cell]:
        rows = self._db.execute(
            "SELECT d.decision, r.bad, r.leaning, d.bad, count(*), min(d.at) FROM decisions d "
            f"LEFT JOIN reviews r ON r.id = d.id WHERE {where} GROUP BY 1, 2, 3, 4",
            values,  # type: ignore[arg-type]
        ).fetchall()
        return [
            Cell(
                decision=decision,
                answer=None if answer is None else bool(answer),
                leaning=None if leaning is None else bool(leaning),
                bad=None if bad is None else bool(bad),
                n=n,
                oldest=oldest,
            )
            for decision, answer, leaning, bad, n, oldest in rows
        ]

    def recall(self, name: str) -> bytes | None:
        """What was remembered under a name."""
        found = self._db.execute("SELECT value FROM memory WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def remember(self, name: str, value: bytes) -> None:
        """Keep a value under a name. Raises ``SRN-OUTCOMES-001``."""
        try:
            self._db.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, value))
        except sqlite3.Error as error:
            raise _unusable(self._where, error) from error

    def by_group(self, predictor: str, limit: int) -> dict[str, dict[str, tuple[int, int, int, int]]]:
        """Of the latest decisions with known attributes: attribute → value → (n, approved, good, good approved)."""
        rows = self._db.execute(
            "SELECT g.attribute, g.value, count(*), sum(d.decision = 'approve'), "
            "       sum(coalesce(d.bad = 0, 0)), sum(coalesce(d.bad = 0, 0) AND d.decision = 'approve') "
            "FROM (SELECT id, decision, bad FROM decisions WHERE predictor = ? ORDER BY at DESC LIMIT ?) d "
            "JOIN groups g ON g.id = d.id GROUP BY g.attribute, g.value",
            (predictor, limit),
        ).fetchall()
        found: dict[str, dict[str, tuple[int, int, int, int]]] = {}
        for attribute, value, n, approved, good, good_approved in rows:
            found.setdefault(attribute, {})[value] = (n, approved, good, good_approved)
        return found


def _columns(rows: list[tuple[float, int]]) -> tuple[Floats, Floats]:
    table = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _unusable(where: str, error: Exception) -> SerinusError:
    return SerinusError(
        "SRN-OUTCOMES-001",
        f"the store of outcomes cannot be used ({error})",
        where=where,
        hint="Mend the disk or the permissions; logs are read on from where the store stopped.",
    )
