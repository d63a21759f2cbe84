"""S3 and what speaks its protocol, by obstore: Apache Arrow's object_store in one wheel.

It retries by itself (5xx, lost connections, timeouts) and takes its credentials as the
AWS tools do: ``AWS_*`` in the environment, a web identity token, a container's or a
machine's role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import S3Store as Client

from serinus.errors import SerinusError
from serinus.storage.location import Location
from serinus.storage.port import absent, altered, refused, unavailable

_CHUNK = 1 << 20
_CONNECT = timedelta(seconds=5)
_SILENCE = timedelta(seconds=30)  # between two parts of an answer
_REQUEST = timedelta(minutes=5)
_RETRIES = 4
_RETRY_FOR = timedelta(seconds=20)


class S3Store:
    """Objects below ``s3://bucket/prefix``; see ``ObjectStore``.

    Args:
        location: bucket and prefix.
        environment: ``AWS_ENDPOINT_URL`` (``http://`` is allowed where it says so), ``AWS_CA_BUNDLE`` or
            ``SSL_CERT_FILE`` (certificates of a private authority); obstore reads the other ``AWS_*``
            from the process itself.
    """

    def __init__(self, location: Location, environment: Mapping[str, str]) -> None:
        self.where = str(location)
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""
        options: dict[str, Any] = {
            "connect_timeout": _CONNECT,
            "read_timeout": _SILENCE,
            "timeout": _REQUEST,
            "allow_http": endpoint.startswith("http://"),
        }
        authority = environment.get("AWS_CA_BUNDLE") or environment.get("SSL_CERT_FILE")
        try:
            if authority:
                options["root_certificate"] = Path(authority).read_bytes()
            self._client = Client(
                location.bucket,
                prefix=location.path or None,
                client_options=options,  # pyright: ignore[reportArgumentType]  a TypedDict of obstore's
                retry_config={
                    "max_retries": _RETRIES,
                    "retry_timeout": _RETRY_FOR,
                    "backoff": {"max_backoff": timedelta(seconds=3)},
                },
            )
        except (exceptions.BaseError, ValueError, OSError) as error:
            raise SerinusError(
                "SRN-STORE-005",
                f"the settings of the store cannot be used ({_reason(error)})",
                where=self.where,
                hint="Check the AWS_* variables: AWS_ENDPOINT_URL is a URL, AWS_CA_BUNDLE a file of "
                "certificates in PEM.",
            ) from error

    def size(self, name: str) -> int | None:
        """Bytes of an object, by HEAD."""
        try:
            return int(obstore.head(self._client, name)["size"])
        except FileNotFoundError:
            return None
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise self._failed(name, error) from error

    def read(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Its bytes, by a ranged GET where it goes on after a loss."""
        try:
            found = obstore.get(self._client, name, options={"range": {"offset": start}} if start else None)
            for chunk in found.stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)
        except FileNotFoundError as error:
            raise absent(f"{self.where}/{name}") from error
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise self._failed(name, error) from error

    def write(self, name: str, data: bytes | Path) -> None:
        """PUT it, in parts if it is large."""
        try:
            obstore.put(self._client, name, data)
        except FileNotFoundError as error:  # S3 answers so where there is no such bucket
            raise absent(self.where) from error
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise self._failed(name, error) from error

    def _failed(self, name: str, error: Exception) -> SerinusError:
        where, why = f"{self.where}/{name}", _reason(error)
        denied = isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError))
        # Some stores answer 400 to a signature that they do not like.
        if denied or "InvalidAccessKeyId" in why or "SignatureDoesNotMatch" in why:
            return refused(where, why)
        if "416 " in why:
            return altered(where, "it is shorter than it should be")
        return unavailable(where, why)


def _reason(error: Exception) -> str:
    """The first lines of obstore's message; what follows is Rust's debug output."""
    text = str(error).partition("\nDebug source")[0].replace('<?xml version="1.0" encoding="utf-8"?>', "")
    return " ".join(text.split())[:300]
