"""A request that is not answered with a score, and why."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

_LONGEST = 400


class Refusal(Exception):  # noqa: N818  an answer, not a fault of ours
    """What was wrong with a request.

    Args:
        status: the HTTP status; 4xx where the sender can mend it.
        field: the JSON path, header or parameter at fault; empty for the whole request.
        message: what is wrong with it. Cut at 400 characters: it quotes the request.
        retry_after: seconds after which the sender may ask again; 0 where that would not help.
        shed: why a request was refused for want of time or room; empty for every other reason.
    """

    def __init__(
        self, status: int, field: str, message: str, *, retry_after: int = 0, shed: str = ""
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        self.shed = shed
        self.field = _cut(field, 120)
        self.message = _cut(message, _LONGEST)
        super().__init__(f"{self.field}: {self.message}" if field else self.message)


def bad(field: str, message: str) -> Refusal:
    """A 400 for one field."""
    return Refusal(400, field, message)


def _cut(text: str, longest: int) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def decode_json[T](decode: Callable[[bytes], T], body: bytes) -> T:
    """Decode a body with a msgspec decoder.

    Raises:
        Refusal: 400, naming the JSON path where the decoder knows it.
    """
    if not body:
        raise bad("", "the body is empty; send a JSON object")
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        raise bad(path.rstrip("`").removeprefix("$").removeprefix("."), what) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # NaN and Infinity end here too: JSON has no such numbers (RFC 8259, section 6).
        raise bad(
            "", f"the body is not JSON ({error}); numbers must be finite, a missing value is null"
        ) from error
    except RecursionError as error:
        raise bad("", "the body is nested too deeply") from error
