"""What a file or a column reaches."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.lineage import journal
from serinus.lineage.impact import contract_of, digest_of_file, of_column, of_digest
from tests.unit.lineage.home import RAW, content, installation, step


@pytest.mark.parametrize("given", [RAW, RAW.removeprefix("sha256:"), "abababab", "ABABABAB"])
def test_the_versions_that_stand_on_a_file_are_found_by_its_digest(tmp_path: Path, given: str) -> None:
    home, version = installation(tmp_path)
    found = of_digest(home, given)
    assert (found.digest, found.name) == (RAW, "/data/tx.csv")
    assert [(each.model, each.version, each.stage, each.run) for each in found.versions] == [
        ("small", 1, "champion", version.run)
    ]
    assert found.other_runs == ()


def test_an_artefact_in_between_and_a_bundle_lead_there_too(tmp_path: Path) -> None:
    home, version = installation(tmp_path)
    assert [each.version for each in of_digest(home, version.digest).versions] == [1]
    assert of_digest(home, version.digest).what == "bundle"
    journal.append(
        home.lineage / "r1.ndjson", *step("more", (), (content("small.more.thing", "sha256:" + "9" * 64),))
    )
    found = of_digest(home, "99999999")
    assert (found.what, found.name, [each.version for each in found.versions]) == (
        "artefact",
        "small.more.thing",
        [1],
    )


def test_a_run_that_read_it_and_registered_nothing_is_named(tmp_path: Path) -> None:
    home, _ = installation(tmp_path)
    journal.append(home.lineage / "r2.ndjson", *step("ingest", (content("/copy.csv", RAW, "file"),), ()))
    assert of_digest(home, RAW).other_runs == ("r2",)


@pytest.mark.parametrize(("given", "code"), [("12345678", "005"), ("ab", "006"), ("", "005")])
def test_content_that_is_unknown_or_not_told_apart_is_said(tmp_path: Path, given: str, code: str) -> None:
    home, _ = installation(tmp_path)
    journal.append(home.lineage / "r2.ndjson", *step("x", (content("other", "sha256:abc" + "0" * 61),), ()))
    with pytest.raises(SerinusError, match=f"SRN-LINEAGE-{code}"):
        of_digest(home, given)


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n")
    assert digest_of_file(path) == "sha256:" + hashlib.sha256(b"a,b\n").hexdigest()
    with pytest.raises(SerinusError, match="SRN-LINEAGE-005"):
        digest_of_file(tmp_path / "absent.csv")


def test_a_feature_shows_its_columns_and_who_uses_it(tmp_path: Path) -> None:
    home, version = installation(tmp_path)
    contract = contract_of(version)
    assert contract is not None
    found = of_column(home, version, contract, "amount")
    assert (found.is_feature, found.is_column) == (True, True)
    assert [(each.column, each.transformation) for each in found.upstream] == [("amount", "IDENTITY")]
    assert "amount" in found.features
    assert [(each.model, each.version, each.stage) for each in found.used_by] == [("small", 1, "champion")]


def test_a_column_that_no_feature_reads_is_used_by_nobody(tmp_path: Path) -> None:
    home, version = installation(tmp_path)
    contract = contract_of(version)
    assert contract is not None
    found = of_column(home, version, contract, "id")
    assert (found.features, found.used_by) == ((), ())


def test_an_unknown_name_is_answered_with_its_neighbours(tmp_path: Path) -> None:
    home, version = installation(tmp_path)
    contract = contract_of(version)
    assert contract is not None
    with pytest.raises(SerinusError, match=r"SRN-LINEAGE-004.*Did you mean amount\?"):
        of_column(home, version, contract, "amuont")
