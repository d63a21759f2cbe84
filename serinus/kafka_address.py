"""Where a Kafka topic is: ``kafka://host:port/topic``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import msgspec

from serinus.durations import parse_duration
from serinus.errors import SerinusError


class Address(msgspec.Struct, frozen=True):
    """``kafka://host:port,host:port/topic?deadline=5s&config=FILE&any.librdkafka.setting=…``, taken apart.

    ``deadline`` is how long the brokers may take: a delivery, before scoring stops. Secrets
    belong into the file (``key=value`` lines), not on the command line.
    """

    servers: str
    topic: str
    deadline: float = 5.0
    options: dict[str, str] = {}


def parse_address(text: str, *, code: str) -> Address:
    """An address taken apart. Raises ``code`` for what is not of that form."""
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, strict_parsing=True) if parts.query else ())
        topic = parts.path.strip("/")
        deadline = parse_duration(options.pop("deadline", "5s"))
        config = options.pop("config", None)
        if parts.scheme != "kafka" or not parts.netloc or not topic or "/" in topic:
            raise ValueError("it has no servers or no topic")
        if "@" in parts.netloc:
            # Kafka takes none there, and its client would quote it in each of its errors.
            raise ValueError("it names a user: user and password are settings in the file of config=")
        if config is not None:
            lines = (line.strip() for line in Path(config).read_text().splitlines())
            pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
            options = {key.strip(): value.strip() for key, _, value in pairs} | options
    except (ValueError, OSError) as error:
        raise SerinusError(
            code,
            f"the Kafka address cannot be used ({error})",
            where=text.partition("?")[0],
            hint="Write kafka://host:port/topic, with ?deadline=5s and ?config=FILE where needed.",
        ) from error
    return Address(parts.netloc, topic, deadline, options)
