"""Prometheus and Alertmanager beside the embedded platform, where they are installed.

Without them the drift monitor's own verdict calls the retraining receiver.
Only the programs' files and commands are ours; nothing is downloaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import msgspec

from serinus.durations import format_duration, parse_duration
from serinus.errors import SerinusError
from serinus.home import atomic_write
from serving.local.child import Child

WATCH = Path(__file__).parents[1] / "watch"


@dataclass(frozen=True)
class Tools:
    """Where the two programs lie."""

    prometheus: Path
    alertmanager: Path


@dataclass(frozen=True)
class Target:
    """One program to scrape: its name becomes the label ``program``."""

    program: str
    address: str
    path: str = "/metrics"


@dataclass(frozen=True)
class Commands:
    """What to start, and where it will answer."""

    prometheus: tuple[str, ...]
    alertmanager: tuple[str, ...]
    prometheus_url: str
    alertmanager_url: str
    targets_file: Path


def find_prometheus() -> Tools | None:
    """Both programs, or None unless both are installed. Debian calls the second prometheus-alertmanager."""
    prometheus = shutil.which("prometheus")
    alertmanager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    return Tools(Path(prometheus), Path(alertmanager)) if prometheus and alertmanager else None


def write_targets(path: Path, targets: Sequence[Target]) -> None:
    """Say what to scrape; a running Prometheus sees the change."""
    groups = [
        {"targets": [t.address], "labels": {"program": t.program, "__metrics_path__": t.path}}
        for t in targets
    ]
    atomic_write(path, msgspec.json.encode(groups))


def write_config(
    tools: Tools,
    directory: Path,
    targets: Sequence[Target],
    receiver_url: str,
    interval: str = "1s",
    rules: Path = WATCH / "rules",
) -> Commands:
    """Write both programs' files below ``directory`` and choose free ports.

    Args:
        tools: the programs, from ``find_prometheus``.
        directory: a directory of their own, e.g. ``home.platform / "prometheus"``.
        targets: what to scrape at first; ``write_targets`` changes it later.
        receiver_url: the retraining receiver's ``…/api/v1/alerts``.
        interval: between scrapes, and between evaluations of the rules.
        rules: the directory of the rule files.
    """
    seconds = parse_duration(interval)
    directory.mkdir(parents=True, exist_ok=True)
    prometheus, alertmanager = (f"127.0.0.1:{port}" for port in _free_ports(2))
    targets_file = directory / "targets.json"
    write_targets(targets_file, targets)
    values = {
        "interval": interval,
        "rules": str(rules.resolve()),
        "alertmanager": alertmanager,
        "targets": str(targets_file.resolve()),
        "receiver": receiver_url,
        "group_wait": interval,
        "group_interval": format_duration(5 * seconds),
        "repeat_interval": format_duration(60 * seconds),
    }
    for name in ("prometheus.yml", "alertmanager.yml"):
        template = Template((WATCH / f"{name}.template").read_text(encoding="utf-8"))
        atomic_write(directory / name, template.substitute(values))
    return Commands(
        prometheus=(
            str(tools.prometheus),
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            "--storage.tsdb.retention.time=6h",
            "--storage.tsdb.retention.size=128MB",
            f"--web.listen-address={prometheus}",
            "--log.level=warn",
        ),
        alertmanager=(
            str(tools.alertmanager),
            f"--config.file={directory / 'alertmanager.yml'}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address={alertmanager}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ),
        prometheus_url=f"http://{prometheus}",
        alertmanager_url=f"http://{alertmanager}",
        targets_file=targets_file,
    )


class Monitoring:
    """A running Prometheus with its Alertmanager. Use ``start``."""

    def __init__(self, commands: Commands, children: Sequence[Child]) -> None:
        self.prometheus_url = commands.prometheus_url
        self.alertmanager_url = commands.alertmanager_url
        self.children = tuple(children)
        self._targets_file = commands.targets_file

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Scrape these from now on: canaries come and go."""
        write_targets(self._targets_file, targets)

    async def stop(self) -> None:
        """End both."""
        await asyncio.gather(*(child.stop() for child in self.children))


async def start(
    tools: Tools,
    directory: Path,
    targets: Sequence[Target],
    receiver_url: str,
    *,
    mark: dict[str, str],
    interval: str = "1s",
    timeout: float = 30.0,
    rules: Path = WATCH / "rules",
) -> Monitoring:
    """Start both and wait until they answer; they die with this process.

    Raises:
        SerinusError: ``SRN-PLATFORM-004`` or ``-005`` if one cannot be started
            or does not answer within ``timeout`` seconds; neither is left behind.
    """
    commands = write_config(tools, directory, targets, receiver_url, interval, rules)
    children: list[Child] = []
    try:
        for name, command, url in (
            ("alertmanager", commands.alertmanager, commands.alertmanager_url),
            ("prometheus", commands.prometheus, commands.prometheus_url),
        ):
            child = await Child.start(name, command, log=directory / f"{name}.log", mark=mark)
            children.append(child)
            await _answers(child, f"{url}/-/ready", timeout)
    except BaseException:
        await asyncio.gather(*(child.stop() for child in children))
        raise
    return Monitoring(commands, children)


async def _answers(child: Child, url: str, timeout: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while child.alive and loop.time() < end:
        if await asyncio.to_thread(_ok, url):
            return
        await asyncio.wait({child.exited}, timeout=0.1)
    what = child.ending() if not child.alive else f"did not answer within {timeout:g} s"
    raise SerinusError(
        "SRN-PLATFORM-005",
        f"{child.name} {what}{child.last_words()}",
        where=str(child.log),
        hint="The log says more.",
    )


def _ok(url: str) -> bool:
    with (
        contextlib.suppress(urllib.error.URLError, OSError),
        urllib.request.urlopen(url, timeout=2) as answer,
    ):
        return answer.status == 200
    return False


def _free_ports(count: int) -> list[int]:
    """Ports that are free now: neither program can report a port that the kernel chose."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
