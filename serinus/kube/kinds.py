"""Kinds as the API's paths name them, and our own. Pure."""

from __future__ import annotations

from typing import NamedTuple

FIELD_MANAGER = "serinus-rollout"


class Kind(NamedTuple):
    """A kind as the API's paths name it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The URL's path of one object, or of all in a namespace, or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", namespace) if namespace else ()), self.plural]
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


ROLLOUT = Kind("serinus.io", "v1alpha1", "modelrollouts", "ModelRollout")
APPROVAL = Kind("serinus.io", "v1alpha1", "rolloutapprovals", "RolloutApproval")
COMMAND = Kind("serinus.io", "v1alpha1", "rolloutcommands", "RolloutCommand")
