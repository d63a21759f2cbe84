"""Alertmanager's webhook, version 4, as far as it matters here."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from serinus.errors import SerinusError

# What the chart takes for a name; never an option of a command, nor a path.
_MODEL = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,127}")


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert. Keys that Alertmanager adds beside these are ignored."""

    status: str
    labels: dict[str, str]
    starts_at: str
    fingerprint: str
    annotations: dict[str, str] = {}

    @property
    def key(self) -> str:
        """The same for every repetition of one alert, another when it fires anew."""
        return f"{self.fingerprint}@{self.starts_at}"

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname", "")

    @property
    def model(self) -> str:
        """The model it is about."""
        return self.labels.get("model", "")

    @property
    def firing(self) -> bool:
        """Whether it fires, rather than tells that it is over."""
        return self.status == "firing"

    @property
    def wants_retraining(self) -> bool:
        """Only alerts that say so retrain; those on data quality never do, whatever they say."""
        return self.labels.get("retrain") == "true" and "DataQuality" not in self.name

    @property
    def cause(self) -> str:
        """What happened, whoever serves: two alerts of one cause are the same problem."""
        return f"{self.model}/{self.name}"

    @property
    def reason(self) -> str:
        """One line for the run and the audit log; always begins with a word of ours."""
        text = " ".join(self.annotations.get("summary", "").split())[:200]
        return f"alert {self.name} on {self.model}" + (f": {text}" if text else "")


class Webhook(msgspec.Struct, frozen=True):
    """The body of the webhook."""

    version: str
    alerts: list[Alert]


def read_webhook(body: bytes, *, where: str = "POST /api/v1/alerts") -> Webhook:
    """The alerts in a webhook's body. ``where`` is named in errors.

    Raises:
        SerinusError: ``SRN-RETRAIN-001``, naming the field that is wrong.
    """
    try:
        webhook = msgspec.json.decode(body, type=Webhook)
    except msgspec.DecodeError as error:
        raise _bad(where, str(error)) from error
    if webhook.version != "4":
        raise _bad(where, f"version is {webhook.version!r}; expected '4'")
    for i, alert in enumerate(webhook.alerts):
        field = f"alerts[{i}]"
        if alert.status not in ("firing", "resolved"):
            raise _bad(where, f"{field}.status is {alert.status!r}; expected firing or resolved")
        if not alert.fingerprint:
            raise _bad(where, f"{field}.fingerprint is empty")
        try:
            datetime.fromisoformat(alert.starts_at)
        except ValueError:
            raise _bad(where, f"{field}.startsAt is {alert.starts_at!r}; expected an RFC 3339 time") from None
        if alert.wants_retraining and not _MODEL.fullmatch(alert.model):
            raise _bad(where, f"{field}.labels.model is {alert.model!r}; expected a model's name")
        if alert.wants_retraining and not alert.name:
            raise _bad(where, f"{field}.labels.alertname is missing")
    return webhook


def _bad(where: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-RETRAIN-001",
        f"the webhook cannot be read: {what}",
        where=where,
        hint="Send what Alertmanager's webhook_configs sends (version 4). Nothing was changed.",
    )
