"""What the record keeper's page says before it has heard anything."""

from __future__ import annotations

from typing import Any, cast

from serinus import metrics as names
from serving.registrar.follow import Desk, Follower
from serving.registrar.keeper import Keeper
from serving.registrar.memory import MemoryBook
from serving.registrar.pages import RecordsCollector


def test_a_keeper_that_was_never_let_in_is_silent_for_ever() -> None:
    """Or an alert on its silence would have nothing to compare."""
    follower = Follower(cast("Any", None), Desk(Keeper(MemoryBook())))
    found = {metric.name: metric for metric in RecordsCollector(follower).collect()}
    assert [sample.value for sample in found[names.RECORDS_WATCH_AGE].samples] == [float("inf")]
