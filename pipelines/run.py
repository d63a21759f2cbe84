"""One run of the training pipeline, from the files a person names to a registered version."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from components.config import ModelConfig, load_config
from components.step import StepError, read_json, write_json
from pipelines.lineage import recorded
from pipelines.local import Listener, Outcome, run_local
from pipelines.provenance import by_content, code_of
from serinus.contract import dump_contract, load_contract
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry


@dataclass(frozen=True)
class Result:
    """A registered version: where its bundle lies, what its gate said, where the time went.

    ``created`` is False where the same inputs had given this version before.
    """

    name: str
    version: int
    digest: str
    bundle: Path
    created: bool
    run: str
    gate: dict[str, Any]
    seconds: dict[str, float]
    cached: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a script."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}


def run_pipeline(
    contract: Path,
    data: Path,
    *,
    home: Home,
    by: str,
    listener: Listener,
    config: Path | None = None,
    name: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Result:
    """Train, validate and register a model on this machine.

    Args:
        contract, data, config: files; without ``config`` the defaults hold.
        home: where results go; by: who builds; name: another name for the model.
        listener: is told of each step.

    Raises:
        SerinusError: the error of whatever was wrong; nothing half-done is registered.
        KeyboardInterrupt: after the running step was stopped.
    """
    begin = clock()
    agreed, settings = load_contract(contract), load_config(config)
    if name:
        settings = msgspec.structs.replace(settings, name=name)
    link = by_content(data, home.cache / "data")
    # Local time has no place in a name; the suffix keeps two runs of one second apart.
    run = (
        datetime.fromtimestamp(begin, UTC).strftime("%Y%m%dT%H%M%SZ")
        + f"-{agreed.name}-{secrets.token_hex(2)}"
    )
    directory = home.runs / run
    try:
        with recorded(home, model=settings.name or agreed.name, run=run, data=data) as lineage:
            outcome = run_local(
                {
                    "data": str(link),
                    "contract": json.dumps(dump_contract(agreed), separators=(",", ":")),
                    **parts_of(settings),
                    **champion_of(home, settings.name or agreed.name),
                    "code": json.dumps(code_of(), separators=(",", ":")),
                    "home": str(home.root),
                    "by": by,
                    "run": run,
                },
                directory=directory,
                cache=home.cache / "pipeline",
                listener=listener,
                lineage=lineage,
            )
    except SerinusError as error:
        shown = _in_users_words(error, link, data)
        why = {"run": run, "error": shown.to_dict(), "seconds": round(clock() - begin, 3)}
        _record(directory, why | ({"gate": shown.details} if shown.details else {}))
        raise shown from error
    result = _result(run, outcome, clock() - begin)
    _record(directory, result.to_dict())
    for name, artefact in (
        ("card.html", outcome.outputs["card"]["html"]),
        ("judgement.json", outcome.outputs["gate"]["judgement"]),
        ("champion.json", outcome.outputs["champion"]["report"]),
        ("latency.json", outcome.outputs["latency"]["report"]),
    ):
        shutil.copyfile(artefact.path, directory / name)
    return result


def champion_of(home: Home, name: str) -> dict[str, str]:
    """The champion that the registry knows, as the pipeline's parameters: its bundle and its digest.

    Raises:
        SerinusError: as ``Registry.bundle``: a champion that is damaged or was replaced is not compared with.
    """
    if not (home.root / "registry.db").exists():
        return {"champion_bundle": "", "champion_digest": ""}
    registry = Registry(home)
    for version in registry.versions(name):
        if version.stage == "champion":
            return {
                "champion_bundle": str(registry.bundle(version).path.resolve()),
                "champion_digest": version.digest,
            }
    return {"champion_bundle": "", "champion_digest": ""}


def parts_of(config: ModelConfig) -> dict[str, str]:
    """The training config as the pipeline's parameters: each part apart, defaults written out."""

    def text(part: object) -> str:
        return msgspec.json.encode(part, order="deterministic").decode()

    return {
        "split_config": text(config.split),
        "training_config": text(config.training),
        "challenge_config": text(config.challenge),
        "champion_config": text(config.champion),
        "latency_config": text(config.latency),
        "gates_config": text(config.gates),
        "identity": text(config.identity()),
    }


def _result(run: str, outcome: Outcome, total: float) -> Result:
    entered = read_json(outcome.outputs["register"]["version"].path)
    judgement = read_json(outcome.outputs["gate"]["judgement"].path)
    steps = dict(outcome.seconds)
    steps["start"] = round(total - sum(steps.values()), 3)
    return Result(
        name=entered["name"],
        version=entered["version"],
        digest=entered["digest"],
        bundle=Path(entered["bundle"]),
        created=entered["created"],
        run=run,
        gate=judgement,
        seconds=steps | {"total": round(total, 3)},
        cached=outcome.cached,
    )


def _in_users_words(error: SerinusError, link: Path, data: Path) -> StepError:
    """Name the file as its owner does, not by the link that carries its digest."""
    pairs = {"what": error.what, "where": error.where, "hint": error.hint}
    what, where, hint = (text.replace(str(link), str(data)) for text in pairs.values())
    details = error.details if isinstance(error, StepError) else {}
    return StepError(error.code, what, where=where, hint=hint, details=details)


def _record(directory: Path, value: dict[str, Any]) -> None:
    """Leave ``run.json``; a full disk must not hide the error that is being reported."""
    try:
        write_json(directory / "run.json", value)
    except OSError:
        return
