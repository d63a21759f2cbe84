"""What has to be kept, by configuration: an installation's ``privacy.yaml``. Pure but for reading it.

Article 17(3)(b) of the GDPR leaves out of the right to erasure what a law says must
be kept; which law that is differs by product and jurisdiction, so it is never in code.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serinus.documents import UnreadableError, read_yaml
from serinus.durations import parse_duration
from serinus.errors import SerinusError


class Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"time": "for"}):
    """Decisions of ``model`` (``*``: of every model without a rule of its own) are kept for so long, and why."""

    model: str = "*"
    time: str
    because: Annotated[str, Meta(min_length=1)]


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rules. ``override``: whether somebody may erase all the same, with a reason of their own."""

    keep: tuple[Keep, ...] = ()
    override: Literal["never", "allowed"] = "never"

    def rule(self, model: str) -> Keep | None:
        """What holds for a model; None where nothing has to be kept."""
        by_model = {rule.model: rule for rule in self.keep}
        return by_model.get(model, by_model.get("*"))


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that has to be kept: of which model, until when (RFC 3339), and why."""

    model: str
    until: str
    because: str


def load_retention(root: Path) -> Retention:
    """The rules of an installation; none where there is no file.

    Raises:
        SerinusError: ``SRN-PRIVACY-005`` it is not such a file.
    """
    path = root / "privacy.yaml"
    if not path.exists():
        return Retention()
    try:
        found = msgspec.convert(read_yaml(path) or {}, Retention)
        for rule in found.keep:
            parse_duration(rule.time)
    except UnreadableError as error:
        raise _bad(error.where, f"the file of what is kept {error.what}") from error
    except ValueError as error:
        raise _bad(str(path), f"the rules of what is kept cannot be read ({error})") from error
    return found


def _bad(where: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-PRIVACY-005", what, where=where, hint="docs/privacy.md shows such a file; nothing was erased."
    )


def duty(retention: Retention, decided: Iterable[tuple[str, str]], now: float) -> Duty | None:
    """The decision that has to be kept longest; None if none has to be.

    Args:
        decided: model and time (RFC 3339) of each decision on a person.
        now: seconds since the epoch.
    """
    latest: dict[str, float] = {}
    for model, time in decided:
        at = datetime.fromisoformat(time).timestamp()
        latest[model] = max(latest.get(model, at), at)
    found: list[tuple[float, str, Keep]] = []
    for model, at in latest.items():
        rule = retention.rule(model)
        if rule is not None and (until := at + parse_duration(rule.time)) > now:
            found.append((until, model, rule))
    if not found:
        return None
    until, model, rule = max(found, key=lambda one: one[0])
    ends = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
    return Duty(model=model, until=ends, because=rule.because)
