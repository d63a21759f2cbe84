import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.drift.policy import MAX_PREDICTORS, OTHER_SHARE, PRIMARY_SHARE, Policy, share, spend

DAY = 86_400.0


def test_one_false_alarm_in_ninety_days_leaves_a_window_of_five_minutes_its_small_share() -> None:
    assert spend(90 * DAY, 300) == pytest.approx(3.858e-5, rel=1e-3)
    assert share(spend(90 * DAY, 300), 61) == pytest.approx(6.3e-7, rel=1e-2)


@settings(deadline=None)  # a busy machine is no defect
@given(st.floats(1, 1e9), st.floats(0.001, 1), st.integers(1, 500))
def test_all_tests_of_all_windows_of_the_period_spend_one_false_alarm(
    period: float, part: float, tests: int
) -> None:
    every = period * part
    assert share(spend(period, every), tests) * tests * (period / every) == pytest.approx(1)


@pytest.mark.parametrize(("period", "every"), [(60, 300), (0, 0), (60, 0), (60, -1)])
def test_a_budget_shorter_than_a_window_is_refused(period: float, every: float) -> None:
    with pytest.raises(ValueError, match="budget"):
        spend(period, every)


def test_the_shares_of_all_comparisons_add_to_the_models_budget() -> None:
    others = MAX_PREDICTORS  # the unlisted are one
    assert PRIMARY_SHARE + 2 * others * OTHER_SHARE == 1
    plan = Policy(budget=90 * DAY, look=300).plan(PRIMARY_SHARE)
    assert plan.run_length == 2 * 90 * 288
