"""Models for the demo: the champion while the reader watches, the candidates while the stories run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from serinus.errors import SerinusError
from serinus.home import Home
from serving.local.demo.candidates import Recipe
from serving.local.demo.programs import failure, must, run_module


def arguments(home: Home, *, contract: Path, config: Path | None, data: Path) -> list[str]:
    """The pipeline's command line."""
    chosen = ["--config", str(config)] if config else []
    files = ["--contract", str(contract), "--data", str(data), *chosen]
    return ["run", *files, "--home", str(home.root), "--output", "json"]


async def train(
    home: Home, *, contract: Path, config: Path | None, data: Path, by: str, show: bool, log: Path
) -> dict[str, Any]:
    """Run the pipeline; its result. Raises the SerinusError that it ended with."""
    command = arguments(home, contract=contract, config=config, data=data)
    # What is not watched runs beside live traffic, and stands back for it.
    return await must("pipelines", command, log=log, show=show, user=by, nice=0 if show else 15)


async def stopped_by_gate(
    home: Home, *, contract: Path, config: Path, data: Path, by: str, log: Path
) -> dict[str, Any] | None:
    """Run a pipeline that the gates are meant to stop.

    Returns:
        What the gate said, or None if it let the model pass.

    Raises:
        SerinusError: if it failed for any other reason.
    """
    command = arguments(home, contract=contract, config=config, data=data)
    done = await run_module("pipelines", command, log=log, show=True, user=by)
    if done.code == 0:
        return None
    gate = done.result.get("gate")
    if not isinstance(gate, dict) or not gate.get("demands"):
        raise failure("pipelines", done, log)
    return gate


class Kitchen:
    """Trains the candidates one after the other in the background; ask for one when it is needed."""

    def __init__(self, home: Home, recipes: Sequence[Recipe], *, by: str, log: Path) -> None:
        self._home = home
        self._by = by
        self._log = log
        self._made: dict[str, asyncio.Future[dict[str, Any]]] = {
            recipe.name: asyncio.get_running_loop().create_future() for recipe in recipes
        }
        self._task = asyncio.create_task(self._cook(recipes))

    async def _cook(self, recipes: Sequence[Recipe]) -> None:
        for recipe in recipes:
            future = self._made[recipe.name]
            try:
                result = await train(
                    self._home,
                    contract=recipe.contract,
                    config=recipe.config,
                    data=recipe.data,
                    by=self._by,
                    show=False,
                    log=self._log,
                )
                future.set_result(result)
            except SerinusError as error:
                future.set_exception(error)

    def ready(self, name: str) -> bool:
        """Whether it can be had without waiting."""
        return self._made[name].done()

    async def serve(self, name: str) -> dict[str, Any]:
        """The candidate's result, once trained. Raises what its pipeline ended with."""
        made = self._made[name]
        await asyncio.wait({made, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not made.done():
            self._task.result()  # raises what ended the training of all
        return made.result()

    async def close(self) -> None:
        """Stop training."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for future in self._made.values():
            if not future.done():
                future.cancel()
            elif not future.cancelled():
                future.exception()  # looked at: nobody may have asked for this candidate


def retraining_config(config: dict[str, Any], path: Path) -> Path:
    """The same recipe with its cuts moved towards the present.

    The newest weeks are the ones that differ; with the champion's cuts all of
    them would be test rows, and nothing would be learned from them.
    """
    split = {**(config.get("split") or {}), "train": 0.7, "validation": 0.15, "test": 0.15}
    path.write_text(yaml.safe_dump({**config, "split": split}, sort_keys=False), encoding="utf-8")
    return path
