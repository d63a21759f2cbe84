"""What is served without a rollout is told: by whom, which bundle, and whose word it lacked."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.registry import Registry
from serving.local.targets import first, note_served, resolve, tell_by_hand
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


def test_the_first_version_that_answers_is_the_registrys_champion_and_a_later_one_is_not(
    tmp_path: Path,
) -> None:
    home = small_home(tmp_path)
    registry = Registry(home)
    for version in (1, 2):
        registry.register(
            small_bundle(tmp_path, seed=version, version=version), by="ben", owner="cards", run="r"
        )
    assert note_served(home, resolve(home, "1"), by="olga") == []
    turn = registry.history("small", 1)[-1]
    assert (turn.stage, turn.by, turn.reason) == ("champion", "olga", "serves by hand, without a rollout")
    before = len(list(registry.audit.entries()))
    assert note_served(home, resolve(home, "1"), by="olga") == []
    assert note_served(home, resolve(home, "2"), by="olga") == []
    assert [registry.get("small", n).stage for n in (1, 2)] == ["champion", "validated"]
    assert len(list(registry.audit.entries())) == before


def test_what_is_not_registered_or_given_up_is_no_champion(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    bundle = small_bundle(tmp_path)
    assert note_served(home, resolve(home, bundle), by="olga") == []
    registry = Registry(home)
    registry.register(bundle, by="ben", owner="cards", run="r1")
    registry.retire("small", 1, by="ben", reason="given up")
    assert note_served(home, resolve(home, "1"), by="olga") == []
    assert registry.get("small", 1).stage == "retired"


def test_without_a_champion_one_is_told_how_the_first_comes_to_be(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    with pytest.raises(SerinusError, match="SRN-PLATFORM-007"):
        first(home, None)
    Registry(home).register(small_bundle(tmp_path), by="ben", owner="cards", run="r1")
    with pytest.raises(SerinusError, match=r"SRN-REGISTRY-002.*serinus up small/1"):
        first(home, None)
