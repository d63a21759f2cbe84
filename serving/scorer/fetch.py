"""``python -m serving.scorer.fetch``: bring a bundle to this pod before the scorer starts.

The init container of a scorer. It exits with 0 only when a whole bundle lies in place
whose digest is the one asked for and whose signature is by a trusted key.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

import msgspec

from serinus.bundle import Fetched, Keyring, fetch_bundle
from serinus.errors import SerinusError
from serinus.masking import Parser
from serinus.storage import Budget, Location, open_store, parse_location
from serinus.storage.download import out_of_time
from serving.scorer import flag_values as of

_EPILOG = """\
The bundle lies in --to when this has ended with 0, and nothing that looks like a bundle
otherwise; a try that was interrupted is taken up by the next. S3 is configured by the
usual variables: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_CA_BUNDLE, or a role of the service account (AWS_WEB_IDENTITY_TOKEN_FILE).

Exit codes: 0 done, 1 failed (the reason is printed), 2 wrong usage, 143 told to stop.

Example: python -m serving.scorer.fetch --uri s3://models/bundles/9f2c... \\
             --digest sha256:9f2c... --to /mnt/bundle --keys /etc/serinus/keys
docs/kubernetes.md shows it in a pod, docs/errors/kernel.md explains the errors.
"""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What to bring, and where to; as ``parse`` reads it."""

    uri: Location
    digest: str | None
    to: Path
    keys: Path
    timeout: float
    max_size: int
    output: str


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Flags to settings; exits with 2 and a usage line on a wrong flag, as argparse does."""
    get = environment.get
    parser = Parser(
        prog="python -m serving.scorer.fetch",
        description="Fetch a bundle from S3 or a volume, and verify its digest and signature.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    uri = get("SERINUS_BUNDLE_URI")
    parser.add_argument(
        "--uri",
        metavar="URI",
        type=_location,
        default=uri,
        required=not uri,
        help="s3://bucket/path or file:///path of the bundle's directory (default: $SERINUS_BUNDLE_URI)",
    )
    parser.add_argument(
        "--digest",
        metavar="DIGEST",
        default=get("SERINUS_BUNDLE_DIGEST") or None,
        help="sha256:… that it must have; may be left out for file:// only (default: $SERINUS_BUNDLE_DIGEST)",
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        default=get("SERINUS_BUNDLE_DIR") or "/mnt/bundle",
        help="empty directory to write it to (default: $SERINUS_BUNDLE_DIR or /mnt/bundle)",
    )
    parser.add_argument(
        "--keys",
        metavar="DIR",
        type=Path,
        default=get("SERINUS_KEYS") or "/etc/serinus/keys",
        help="directory of the trusted public keys, trusted-*.pem (default: $SERINUS_KEYS or /etc/serinus/keys)",
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=_time,
        default=get("SERINUS_FETCH_TIMEOUT") or "5m",
        help="for all of it, retries included (default: $SERINUS_FETCH_TIMEOUT or 5m)",
    )
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=of.size,
        default=get("SERINUS_FETCH_MAX_SIZE") or "2GiB",
        help="most that one file may have (default: $SERINUS_FETCH_MAX_SIZE or 2GiB)",
    )
    parser.add_argument(
        "--output", choices=("text", "json"), default="text", help="json: one object on stdout"
    )
    given = parser.parse_args(arguments)
    if given.digest is None and given.uri.scheme != "file":
        parser.error("--digest (or $SERINUS_BUNDLE_DIGEST) is required for what comes over a network")
    return msgspec.convert(vars(given), Settings)


def fetch(settings: Settings) -> Fetched:
    """Fetch and verify.

    Raises:
        SerinusError: ``SRN-KEY-002`` there is no trusted key; those of ``fetch_bundle``.
    """
    trusted = Keyring.load_some(settings.keys)
    budget = Budget(settings.timeout, settings.max_size)
    return fetch_bundle(
        open_store(settings.uri), settings.to, trusted=trusted, digest=settings.digest, budget=budget
    )


def main() -> int:
    """Run the program; its exit code."""
    settings = parse(sys.argv[1:], os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    done: list[Fetched | BaseException] = []

    def work() -> None:
        try:
            done.append(fetch(settings))
        except BaseException as error:
            done.append(error)

    # A thread of its own: the S3 client waits outside the interpreter, where neither a
    # signal (a pod's first process must handle its own) nor the deadline would reach it.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(settings.timeout)
    result = done[0] if done else out_of_time(str(settings.uri), settings.timeout)
    code = _tell(result, settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # not waiting for a thread that waits for the network


def _tell(result: Fetched | BaseException, settings: Settings) -> int:
    if isinstance(result, SerinusError):
        sys.stderr.write(f"serinus: {result}\n")
        if settings.output == "json":
            sys.stdout.write(msgspec.json.encode({"error": result.to_dict()}).decode() + "\n")
        return 1
    if isinstance(result, BaseException):
        sys.excepthook(type(result), result, result.__traceback__)
        return 1
    bundle, received = result.bundle, result.received
    if settings.output == "json":
        told = {
            "name": bundle.name,
            "version": bundle.version,
            "digest": bundle.digest,
            "path": str(bundle.path),
            "received": received,
        }
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        return 0
    came = f"{received:,} bytes came" if received else "it was here already"
    sys.stderr.write(
        f"serinus: {bundle.name} v{bundle.version} {bundle.digest} lies verified in {bundle.path}; {came}\n"
    )
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    os.write(2, b"serinus: told to stop; what has come is kept for the next try\n")
    os._exit(128 + number)


def _location(text: str) -> Location:
    try:
        return parse_location(text)
    except SerinusError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _time(text: str) -> float:
    seconds = of.duration(text)
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 1ms and 1d")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
