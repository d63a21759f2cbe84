"""Events to send and a backend that fails as told."""

from __future__ import annotations

from serinus.lineage.backend import MemoryBackend, RefusedError, UnreachableError
from serinus.lineage.types import Job, Kind, Run, RunEvent, event, new_run_id


def told(job: str, kind: Kind = "COMPLETE", run: str | None = None) -> RunEvent:
    return event(kind, Run(run or new_run_id(1.0)), Job("serinus", job), at=1_764_000_000.0)


class Failing(MemoryBackend):
    """Refuses the jobs named ``refused`` and is down for all from the job named ``down`` on."""

    def __init__(self) -> None:
        super().__init__()
        self.down = True

    def send(self, event: RunEvent) -> None:
        if event.job.name == "refused":
            raise RefusedError("HTTP 422")
        if event.job.name == "down" and self.down:
            raise UnreachableError("ConnectionRefusedError: [Errno 111] Connection refused")
        super().send(event)
