"""The letter: what it says, to whom, until when; pure."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.events import Decision, DecisionEvent
from serinus.home import Home
from serinus.model import ReasonCode
from serinus.notice import NoticePolicy, letter, load_notice_policy
from serinus.notice.letter import in_words
from serinus.papers.html import to_html
from serinus.papers.text import to_text
from tests.unit.notice.support import POLICY, SECRET

WORDS = msgspec.convert(POLICY, NoticePolicy)
REASONS = tuple(
    ReasonCode(f"R0{i}", name, f"Because of {name}", 1.0 / i)
    for i, name in enumerate(("amount", "hour", "channel"), 1)
)
EVENT = DecisionEvent(
    id="req-1",
    source="/models/small/predictors/champion",
    time="2026-09-21T10:00:00Z",
    data=Decision(
        model="small", version=1, digest="sha256:0", predictor="champion", score=0.9, probability=0.9,
        decision="decline", features=(),
    ),
)  # fmt: skip
TODAY, APPLIED = date(2026, 9, 25), date(2026, 9, 20)


def made(**changes: Any):
    arguments: dict[str, Any] = {"today": TODAY, "applied": APPLIED} | changes
    where = arguments.pop("where", "US")
    return letter(WORDS, where, EVENT, arguments.pop("reasons", REASONS), **arguments)


def test_it_says_who_decided_what_and_why_in_the_policys_words() -> None:
    text = to_text(made().document)
    for part in (
        "Notice of action taken",
        "Bank & Sons\n1 Street\nTown\n555-0100",
        "[Name]\n[Address]",
        "Your application of 2026-09-20 was declined.",
        "1. Because of amount",
        "3. Because of channel",
        "Write to Bank & Sons, 1 Street, Town; reference req-1.",
        "The ECOA statement.",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("where", "applied", "due", "today", "late"),
    [
        ("US", date(2026, 9, 20), date(2026, 10, 20), date(2026, 10, 20), False),
        ("US", date(2026, 9, 20), date(2026, 10, 20), date(2026, 10, 21), True),
        ("US", date(2028, 2, 1), date(2028, 3, 2), date(2028, 2, 2), False),
        ("EU", date(2026, 9, 20), date(2026, 9, 27), date(2026, 9, 28), True),
    ],
)
def test_the_time_runs_from_the_application_as_the_jurisdiction_has_it(
    where: str, applied: date, due: date, today: date, late: bool
) -> None:
    found = made(where=where, applied=applied, today=today)
    assert (found.due, found.late) == (due, late)


def test_another_language_has_its_own_texts_dates_and_reasons() -> None:
    text = to_text(made(language="es").document)
    assert "Su solicitud del 20/09/2026." in text
    assert "El importe es inusualmente alto" in text
    assert "Because of hour" in text, "what has no translation keeps the contract's sentence"
    assert made(language="es").document.language == "es"


def test_reasons_that_read_alike_are_given_once() -> None:
    twice = (REASONS[0], msgspec.structs.replace(REASONS[1], text=REASONS[0].text), REASONS[2])
    text = to_text(made(reasons=twice).document)
    assert text.count("Because of amount") == 1
    assert "2. Because of channel" in text


def test_a_draft_says_that_it_is_one() -> None:
    assert "Draft. It was not issued." in to_text(made(draft=True).document)
    assert "Draft" not in to_text(made().document)


@given(
    st.lists(
        st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1, max_size=40),
        max_size=5,
    )
)
def test_what_the_record_commits_to_knows_nothing_of_the_applicant(lines: list[str]) -> None:
    named = made(applicant=[SECRET, *lines])
    assert SECRET in to_html(named.document)
    assert named.blank == made().blank
    assert SECRET.encode() not in msgspec.json.encode(named.blank)


def test_an_applicant_is_no_markup() -> None:
    page = to_html(made(applicant=["<script>alert(1)</script>", "{creditor} {secret}"]).document)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "{creditor} {secret}" in page, "an applicant's braces stand for nothing"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"where": "MARS"}, "SRN-NOTICE-007"),
        ({"where": ""}, "SRN-NOTICE-007"),
        ({"language": "fr"}, "SRN-NOTICE-007"),
        ({"applied": date(2026, 9, 26)}, "SRN-NOTICE-008"),
        ({"applicant": ["x"] * 9}, "SRN-NOTICE-008"),
        ({"applicant": ["x" * 101]}, "SRN-NOTICE-008"),
        ({"applicant": ["a\x00b"]}, "SRN-NOTICE-008"),
    ],
)
def test_what_cannot_be_written_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(SerinusError) as refused:
        made(**changes)
    assert refused.value.code == code


def test_a_refusal_quotes_nothing_of_the_applicant() -> None:
    with pytest.raises(SerinusError) as refused:
        made(applicant=[SECRET + "\x07"])
    assert SECRET not in str(refused.value)


def changed(*path: str, value: Any) -> dict[str, Any]:
    policy = copy.deepcopy(POLICY)
    place = policy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return policy


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        (changed("jurisdictions", "US", "within", value="soon"), "US.within"),
        (changed("jurisdictions", "US", "within", value="0d"), "no time at all"),
        (changed("jurisdictions", "US", "max_reasons", value=0), "max_reasons"),
        (changed("jurisdictions", "US", "letters", value={}), "letters"),
        (
            changed("jurisdictions", "US", "letters", "en", "heading", value="Why {name}?"),
            "{name} stands for nothing",
        ),
        (changed("jurisdictions", "US", "letters", "en", "heading", value="Why {"), "a brace is not closed"),
        (changed("creditor", value={"name": "Bank"}), "address"),
        (changed("creditr", value={}), "creditr"),
    ],
)
def test_a_policy_that_is_none_is_refused_and_says_where(
    policy: dict[str, Any], word: str, tmp_path: Path
) -> None:
    (tmp_path / "notices.yaml").write_text(yaml.safe_dump(policy))
    with pytest.raises(SerinusError) as refused:
        load_notice_policy(Home(tmp_path))
    assert refused.value.code == "SRN-NOTICE-001"
    assert word in str(refused.value)


def test_without_a_policy_there_is_no_letter(tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match="SRN-NOTICE-001"):
        load_notice_policy(Home(tmp_path))


def test_the_example_is_a_sound_policy() -> None:
    example = Path(__file__).parents[3] / "models" / "credit" / "notices.yaml"
    found = load_notice_policy(Home(Path("/nowhere")), example)
    assert found.jurisdictions["US"].within == "30d"
    assert found.jurisdictions["US"].max_reasons == 4


def policy_with(path: Path, change: Any) -> NoticePolicy:
    """The policy with a change, read from a file as an installation's is."""
    words = copy.deepcopy(POLICY)
    change(words)
    path.write_text(yaml.safe_dump(words))
    return load_notice_policy(Home(path.parent), path)


AGENCY = {"name": "Bureau", "address": ["2 Street"], "telephone": "800-555"}


def reports(words: dict[str, Any], **changes: Any) -> None:
    rules = words["jurisdictions"]["US"]
    rules["agencies"] = [AGENCY | changes]
    for letter_ in rules["letters"].values():
        letter_["report"] = ["A report of {agencies} was used; a free copy within 60 days."]


def test_the_agency_whose_report_was_used_is_named_with_address_and_telephone(tmp_path: Path) -> None:
    policy = policy_with(tmp_path / "p.yaml", reports)
    text = to_text(letter(policy, "US", EVENT, REASONS, today=TODAY, applied=APPLIED).document)
    assert "A report of Bureau, 2 Street, 800-555 was used; a free copy within 60 days." in text
    assert text.index("Bureau, 2 Street") < text.index("The ECOA statement.")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda w: w["creditor"].update(name="  "), "creditor.name is blank"),
        (lambda w: w["creditor"].update(address=[" "]), "creditor.address is blank"),
        (lambda w: reports(w, telephone=" "), "telephone is blank"),
        (lambda w: reports(w, address=[" "]), "address is blank"),
        (lambda w: w["jurisdictions"]["US"].update(agencies=[AGENCY]), "does not name the {agencies}"),
        (lambda w: w["jurisdictions"]["US"]["letters"]["en"].update(report=["A report."]), "names nobody"),
        (lambda w: w["jurisdictions"]["US"]["letters"]["en"]["closing"].append("The agency is [name]."),
         "[name] was not filled in"),
        (lambda w: w["jurisdictions"]["US"]["letters"]["en"]["closing"].append("The agency is _____."),
         "_____ was not filled in"),
        (lambda w: (w["creditor"].update(contact=""),
                    w["jurisdictions"]["EU"]["letters"]["en"]["closing"].append("Call {contact}.")),
         "creditor.contact is blank"),
    ],
)  # fmt: skip
def test_a_letter_with_a_hole_is_refused_and_the_hole_is_named(
    tmp_path: Path, change: Any, word: str
) -> None:
    with pytest.raises(SerinusError) as refused:
        policy_with(tmp_path / "p.yaml", change)
    assert refused.value.code == "SRN-NOTICE-001"
    assert word in str(refused.value)


def test_the_example_policy_is_complete() -> None:
    example = Path(__file__).parents[3] / "models" / "credit" / "notices.yaml"
    policy = load_notice_policy(Home(example.parent), example)
    text = to_text(letter(policy, "US", EVENT, REASONS, today=date(2026, 11, 2), applied=APPLIED).document)
    for said in (
        "November 2, 2026",
        "September 20, 2026",
        "60 days",
        "Example Credit Bureau",
        "800-555-0199",
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("how", "said"),
    [("%B %d, %Y", "November 2, 2026"), ("%d %b %Y", "2 Nov 2026"), ("%Y-%m-%d", "2026-11-02"),
     ("%d/%m/%Y", "02/11/2026")],
)  # fmt: skip
def test_a_day_beside_a_months_name_has_no_zero(how: str, said: str) -> None:
    assert in_words(date(2026, 11, 2), how) == said
