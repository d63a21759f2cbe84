"""What is served without a rollout is told: by whom, which bundle, and whose word it lacked."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.registry import Registry
from serving.local.targets import resolve, tell_by_hand
from tests.support.bundles import small_bundle, small_home
from tests.unit.access.policies import BANK


@pytest.mark.parametrize(
    ("tier", "missing"),
    [(None, []), (1, ["validator", "approver"]), (3, ["another person"])],
    ids=["nobody said a tier", "two words are missing", "anybody else's word is missing"],
)
def test_a_registered_version_comes_with_the_words_it_lacks(
    tmp_path: Path, tier: int | None, missing: list[str]
) -> None:
    home = small_home(tmp_path)
    registry = Registry(home)
    bundle = small_bundle(tmp_path)
    registry.register(bundle, by="ben", owner="cards", run="r1")
    with registry.transaction() as db:
        db.execute("UPDATE versions SET tier = ?", (tier,))
    home.policy.write_text(BANK)
    tell_by_hand(home, resolve(home, "1"), by="olga")
    told = list(registry.audit.entries())[-1]
    assert (told.actor, told.action, told.subject) == ("olga", "serve", "small/1")
    assert told.details == {"digest": bundle.digest, "registered": True, "missing": missing}
    assert told.reason.endswith(
        f"missing at its tier: {', '.join(missing)}" if missing else "without a rollout"
    )


def test_a_bundle_that_is_not_registered_is_called_so(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    bundle = small_bundle(tmp_path)
    tell_by_hand(home, resolve(home, bundle), by="olga")
    (told,) = Registry(home).audit.entries()
    assert told.details == {"digest": bundle.digest, "registered": False, "missing": []}
    assert "not registered" in told.reason
