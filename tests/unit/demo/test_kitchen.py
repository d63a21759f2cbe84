"""Candidates are made one after the other, and one that cannot be made does not keep the next from it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.home import Home
from serving.local.demo.candidates import Recipe
from serving.local.demo.training import Kitchen


def recipe(name: str, folder: Path) -> Recipe:
    """One whose contract does not exist."""
    missing = folder / f"{name}.yaml"
    return Recipe(
        name=name, title=name, fault="", ends="", culprit=None, contract=missing, config=missing, data=missing
    )


def test_each_candidate_ends_with_its_own_error(tmp_path: Path) -> None:
    async def serve_all() -> list[str]:
        kitchen = Kitchen(
            Home(tmp_path), [recipe(n, tmp_path) for n in ("one", "two")], by="ann", log=tmp_path / "log"
        )
        said: list[str] = []
        for name in ("one", "two"):
            with pytest.raises(SerinusError) as caught:
                await asyncio.wait_for(kitchen.serve(name), 240)
            said.append(str(caught.value))
        await kitchen.close()
        return said

    one, two = asyncio.run(serve_all())
    assert "one.yaml" in one
    assert "two.yaml" in two


def test_whatever_ends_the_training_is_told_to_who_waits(tmp_path: Path) -> None:
    async def serve() -> None:
        # A directory in the log's place: an error that is none of the pipeline's own.
        kitchen = Kitchen(Home(tmp_path), [recipe("one", tmp_path)], by="ann", log=tmp_path)
        try:
            await asyncio.wait_for(kitchen.serve("one"), 240)
        finally:
            await kitchen.close()

    with pytest.raises(IsADirectoryError):
        asyncio.run(serve())
