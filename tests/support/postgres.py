"""A real PostgreSQL of the test's own, on a socket in a directory of its own; if asked on a port, with standbys."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest


def _programs() -> Path | None:
    """Where initdb and postgres are: Debian keeps them out of the search path."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places += [Path(found).parent] if found else []
    wanted = ("initdb", "postgres", "pg_basebackup", "pg_dump", "psql")
    return next((place for place in places if all((place / name).exists() for name in wanted)), None)


class PostgresServer:
    """One cluster with one database, ``keys``; there on entry, gone on exit.

    It refuses to run as root, so root's runs as ``nobody``. ``options`` are settings, ``name=value``.

    Args:
        port: listen there too, on 127.0.0.1.
        hba: who may come in by that port, as lines of pg_hba.conf; the socket lets in everybody.
        standby_of: follow that server, from a base backup of it, as a standby of the name ``standby``.
    """

    def __init__(
        self,
        *options: str,
        port: int | None = None,
        hba: Sequence[str] = (),
        standby_of: PostgresServer | None = None,
    ) -> None:
        self.options = list(options)
        self.port = port
        # Not in pytest's directory, which nobody else may enter; and a socket's path is short.
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._user = "nobody" if os.geteuid() == 0 else None
        programs = _programs()
        assert programs is not None
        self._programs = programs
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
        if standby_of is not None:
            primary = f"host={standby_of.directory} port={standby_of.port or 5432} user=serinus"
            self._run(
                "pg_basebackup", "--pgdata", str(self.data), "--wal-method=stream", "--checkpoint=fast",
                "--no-sync", "--write-recovery-conf", "--dbname", f"{primary} application_name=standby",
            )  # fmt: skip
            (self.directory / "made").touch()
            return
        self._run(
            "initdb", "--pgdata", str(self.data), "--username=serinus", "--auth=trust", "--no-sync",
            "--encoding=UTF8", "--locale=C", "--no-instructions",
        )  # fmt: skip
        if hba:
            self.let_in(*hba)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def url(self) -> str:
        """By the socket."""
        return f"postgresql://serinus@/keys?host={self.directory}&port={self.port or 5432}"

    def let_in(self, *hba: str) -> None:
        """These by the port, as lines of pg_hba.conf; everybody by the socket."""
        lines = ["local all all trust", "local replication all trust", *hba, ""]
        (self.data / "pg_hba.conf").write_text("\n".join(lines))

    def own(self, file: Path) -> Path:
        """A copy of a file that only the server's user may read, as it wants its keys."""
        copy = self.directory / file.name
        shutil.copyfile(file, copy)
        copy.chmod(0o600)
        if self._user is not None:
            os.chown(copy, pwd.getpwnam(self._user).pw_uid, -1)
        return copy

    def set(self, *options: str) -> None:
        """Change settings, ``name=value``, of the running server."""
        for option in options:
            name, _, value = option.partition("=")
            self.sql("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql("postgres", "SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make a standby the one that takes writes; waited for."""
        assert self.sql("postgres", "SELECT pg_promote(true, 120)") == [(True,)]

    def start(self) -> None:
        listen = "" if self.port is None else "127.0.0.1"
        port = "5432" if self.port is None else str(self.port)
        command = [str(self._programs / "postgres"), "-D", str(self.data), "-k", str(self.directory)]
        command += ["-p", port, "-c", f"listen_addresses={listen}", "-c", "shared_buffers=8MB"]
        for option in self.options:
            command += ["-c", option]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.directory, start_new_session=True,
                user=self._user, group=self._group, extra_groups=None if self._user is None else [],
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while not self._ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.directory / "log").read_text()[-2000:])
            time.sleep(0.02)
        if not (self.directory / "made").exists():
            self.sql("postgres", "CREATE DATABASE keys")
            (self.directory / "made").touch()

    @property
    def _group(self) -> int | None:
        return None if self._user is None else pwd.getpwnam(self._user).pw_gid

    def _ready(self, process: int) -> bool:
        path = self.data / "postmaster.pid"
        lines = path.read_text().splitlines() if path.exists() else []
        # One that was killed leaves its file behind.
        return len(lines) > 7 and lines[0] == str(process) and lines[7].strip() in ("ready", "standby")

    def sql(self, database: str, statement: str) -> list[tuple]:
        import psycopg

        with psycopg.connect(
            host=str(self.directory), user="serinus", dbname=database, autocommit=True,
            port=5432 if self.port is None else self.port,
        ) as connection:  # fmt: skip
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """Take the store out of the database."""
        self.sql("keys", "DROP SCHEMA IF EXISTS serinus_privacy CASCADE")

    def backup(self) -> str:
        return self._run("pg_dump", "--host", str(self.directory), "--username=serinus", "--clean", "keys")

    def restore(self, backup: str) -> None:
        command = ("psql", "--host", str(self.directory), "--username=serinus", "--quiet", "keys")
        self._run(*command, "--set", "ON_ERROR_STOP=1", given=backup)

    def pause(self) -> None:
        """Stop answering while connections stay open: every process of it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """As when the machine loses power: no process of it says good-bye."""
        if self._process is not None:
            killed = self._signal(signal.SIGKILL)
            self._process.wait(60)
            self._process = None
            # The next one does not start while a process of this one still has its memory.
            deadline = time.monotonic() + 60
            while not all(_ended(pid) for pid in killed):
                assert time.monotonic() < deadline, "a process of the server that was killed does not end"
                time.sleep(0.005)

    def _signal(self, number: signal.Signals) -> list[int]:
        """Send it to every process of the server, and say which they are."""
        assert self._process is not None
        main = self._process.pid
        if number is not signal.SIGCONT:
            os.kill(main, signal.SIGSTOP)  # it makes no other one meanwhile
        # Each backend is the leader of a session of its own, so the group alone would not do.
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        every = [main, *(int(pid) for pid in children)]
        for pid in every:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return every

    def _run(self, program: str, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            input=given, capture_output=True, text=True, timeout=120, cwd=self.directory,
            user=self._user, group=self._group, extra_groups=None if self._user is None else [],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def need_postgres() -> None:
    """Skip, saying why, where there is no PostgreSQL; in CI that is a failure."""
    if _programs() is None:
        why = "PostgreSQL is not installed (Debian: postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{why}, and in CI it must be")
        pytest.skip(why)
