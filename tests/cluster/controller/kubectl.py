"""kubectl as one user in one namespace."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any


class Done:
    """What a command printed."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.returncode = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr

    def check(self) -> Done:
        assert self.returncode == 0, self.stderr
        return self

    def json(self) -> Any:
        return json.loads(self.check().stdout)


class Kubectl:
    """``user`` is impersonated, as one of these groups; None is the cluster's administrator."""

    def __init__(
        self, namespace: str, environment: dict[str, str], user: str | None = None, groups: Sequence[str] = ()
    ) -> None:
        self.namespace = namespace
        self.groups = groups
        self.environment = environment
        self.user = user

    def run(self, *arguments: str, document: Any = None, text: str | None = None) -> Done:
        acting = ["--as", self.user] if self.user else []
        acting += [f"--as-group={group}" for group in self.groups]
        command = ["kubectl", "-n", self.namespace, *acting, *arguments]
        text = json.dumps(document) if document is not None else text
        return Done(
            subprocess.run(
                command, input=text, capture_output=True, text=True, env=self.environment, timeout=120
            )
        )

    def apply(self, document: Any, *arguments: str) -> Done:
        return self.run("apply", "-f", "-", *arguments, document=document)

    def until(self, holds: Callable[[], bool], seconds: float = 90.0) -> None:
        """Wait for what the API server does in its own time."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "not in time"
            time.sleep(0.1)
