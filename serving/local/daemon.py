"""The platform's own process: ``python -m serving.local.daemon``. ``serinus up`` starts it detached.

Says on standard output, in one JSON line, that it is ready or why not; then
serves until SIGTERM, SIGINT or a ``down`` on its control port.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.masking import mask_logs

from .control import ControlServer
from .platform import Platform, Settings


async def serve(
    home: Home,
    settings: Settings,
    *,
    champion: str | None,
    model: str | None,
    ready: Callable[[Platform], None],
) -> None:
    """Run the platform until it is told to stop; no process is left when this returns.

    Raises:
        SerinusError: as ``Platform.start``.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    platform = Platform(home, settings)
    control = ControlServer(platform)
    starting = asyncio.create_task(platform.start(champion, model))
    stopped = asyncio.create_task(stop.wait())
    asked = asyncio.create_task(control.down.wait())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():  # Ctrl-C while it starts
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            return
        starting.result()
        await control.start()
        ready(platform)
        await asyncio.wait({stopped, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        asked.cancel()
        await control.stop()
        await platform.stop()


def log_to_stderr() -> None:
    """Plain lines with a time: the supervisor's log is read by people."""
    mask_logs()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)


def main() -> int:
    """Exit code 0 after an orderly end, 1 if the platform could not be started."""
    parser = argparse.ArgumentParser(prog="python -m serving.local.daemon", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="installation directory")
    parser.add_argument("--champion", help="bundle directory or registered version (default: the champion)")
    parser.add_argument("--model", help="which model, if several are registered")
    parser.add_argument("--settings", default="{}", help="settings as JSON (see Settings)")
    arguments = parser.parse_args()
    log_to_stderr()

    def say(value: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
            sys.stdout.flush()

    try:
        settings = msgspec.json.decode(arguments.settings, type=Settings)
        asyncio.run(
            serve(
                Home(arguments.home.absolute()),
                settings,
                champion=arguments.champion,
                model=arguments.model,
                ready=lambda platform: say(
                    {"ready": True, "url": platform.url, "admin_url": platform.admin_url}
                ),
            )
        )
    except SerinusError as error:
        say({"error": error.to_dict()})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
