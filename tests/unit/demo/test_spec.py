"""The demo's rollouts: the product's guards and error bounds, and time enough at any rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.durations import parse_duration
from serinus.home import Home
from serving.local.demo.cases import find_case
from serving.local.demo.run import Options
from serving.local.demo.story import spec_for
from serving.rollout.spec import RolloutSpec, check, default_guards


def test_guards_margins_and_error_bounds_are_the_defaults() -> None:
    spec = spec_for("m", 2, timeout=150)
    plain = RolloutSpec(model="m", candidate="2")
    assert check(spec).guards == default_guards()
    assert (spec.alpha, spec.beta) == (plain.alpha, plain.beta)
    assert spec.steps[-2].analysis == "clear"
    assert spec.steps[-1].approval is not None


def test_a_retrained_model_may_score_differently_but_not_err_or_be_slow() -> None:
    spec = spec_for("m", 2, timeout=150, observe=("scores", "decisions"))
    assert {g.name for g in spec.guards if g.mode == "enforce"} == {"errors", "latency"}
    assert len(spec.guards) == len(default_guards())


@pytest.mark.parametrize(("rate", "seconds"), [(150.0, 150.0), (600.0, 150.0), (30.0, 750.0)])
def test_fewer_requests_get_more_time(tmp_path: Path, rate: float, seconds: float) -> None:
    case = find_case("fraud", data=None, contract=None, config=None, seed=7)
    options = Options(case=case, home=Home(tmp_path), shared=Home(tmp_path), rate=rate)
    assert options.time_for_a_story == seconds
    # The story is given up by its teller, who says so, before the rollout pauses by itself.
    limits = spec_for("m", 2, timeout=options.time_for_a_story).limits
    assert parse_duration(limits.max_duration) > seconds
