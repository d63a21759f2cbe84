"""The disclosure of a bought credit score: printed from the log, silent where none was used, refused with a hole."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from serinus.audit import AuditLog
from serinus.bundle import Bundle
from serinus.cli import main
from serinus.errors import SerinusError
from serinus.events import DecisionLog
from serinus.home import Home
from serinus.notice import Disclosure, Jurisdiction, letter, load_notice_policy, used_scores
from serinus.papers.text import to_text
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home
from tests.unit.notice.bought import TEXTS, decision, scored_bundle, scored_policy
from tests.unit.notice.support import event_of, installation


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return scored_bundle(tmp_path_factory.mktemp("scored"))


def rules(**changes: Any) -> Jurisdiction:
    return msgspec.convert(scored_policy(**changes)["jurisdictions"]["US"], Jurisdiction)


def test_number_day_and_factors_are_those_that_the_decision_used(bundle: Bundle) -> None:
    (found,) = used_scores(decision(bundle), bundle, rules())
    assert (found.value, found.created, found.factors) == (400.0, date(2026, 9, 20), ("38", "14"))


@pytest.mark.parametrize(
    ("bought", "factors"),
    [
        ({"factor_3": 7}, ("38", "14")),  # two at most
        ({"factor_3": 9}, ("38", "14", "9")),  # inquiries beside them
        ({"factor_2": None}, ("38",)),
        ({"factor_2": "38"}, ("38",)),  # said once
    ],
)
def test_the_strongest_factors_are_told_and_inquiries_beside_them(
    bundle: Bundle, bought: dict[str, Any], factors: tuple[str, ...]
) -> None:
    assert used_scores(decision(bundle, **bought), bundle, rules())[0].factors == factors


def test_inquiries_that_are_among_the_strongest_take_no_place_beside_them(bundle: Bundle) -> None:
    found = used_scores(decision(bundle, factor_1="09", factor_3=9), bundle, rules(inquiries=["09", "9"]))
    assert found[0].factors == ("09", "14")


MISSPELT: dict[str, Any] = {
    "feature": "burea_score", "created": "burea_day", "factors": ["facter_1", "facter_2", "facter_3"],
}  # fmt: skip


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("without"))


def test_a_score_of_another_model_was_not_used(bundle: Bundle, without: Bundle) -> None:
    there = {"scored": bundle.contract.feature_names, "small": without.contract.feature_names}
    assert used_scores(event_of(without, "decline"), without, rules(), lambda: there) == ()


@pytest.mark.parametrize("named", [{}, {"models": ["small"]}])
def test_a_version_that_reads_the_score_no_more_used_none(
    bundle: Bundle, without: Bundle, named: dict[str, Any]
) -> None:
    there = {"small": (*bundle.contract.feature_names, *without.contract.feature_names)}
    assert used_scores(event_of(without, "decline"), without, rules(**named), lambda: there) == ()


def test_a_score_of_models_that_are_named_needs_no_look_at_the_others(without: Bundle) -> None:
    assert used_scores(event_of(without, "decline"), without, rules(models=["loans"]), pytest.fail) == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (MISSPELT, ("no model here has a feature burea_score", "bureau_score for burea_score", "factor_1 for fac")),
        ({"feature": "fico", "created": "then", "factors": []}, ("fico, then", "No name that there is comes close")),
        (MISSPELT | {"models": ["small"]}, ("burea_day", "which small does not have", "bureau_score for burea_score")),
        ({"models": ["smal"]}, ("small has the feature bureau_score", "for smal only", "Add small to models")),
    ],
)  # fmt: skip
def test_names_that_nobody_has_are_refused_with_those_that_come_closest(
    bundle: Bundle, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    there = {"small": bundle.contract.feature_names}
    with pytest.raises(SerinusError, match="SRN-NOTICE-009") as refused:
        used_scores(decision(bundle), bundle, rules(**changes), lambda: there)
    for word in words:
        assert word in str(refused.value), word


def test_a_score_that_training_left_out_was_not_used(tmp_path: Path) -> None:
    blind = scored_bundle(
        tmp_path, exclude=("bureau_score", "bureau_day", "factor_1", "factor_2", "factor_3")
    )
    assert used_scores(decision(blind), blind, rules()) == ()


def test_a_creditor_that_declares_none_says_nothing(bundle: Bundle) -> None:
    plain = msgspec.structs.replace(rules(), scores=())
    assert used_scores(decision(bundle), bundle, plain) == ()


ABSENT: dict[str, Any] = {"bureau_score": None, "bureau_day": None, "factor_1": None, "factor_2": None}


@pytest.mark.parametrize(
    ("bought", "changes", "word"),
    [
        ({"bureau_score": None}, {}, "bureau_score was not logged with a value"),
        ({"bureau_day": None}, {}, "was not logged"),
        ({"factor_1": None, "factor_2": None}, {}, "none of the key factors"),
        ({"factor_1": "99", "factor_2": None}, {}, "none of the key factors"),  # a level unseen in training
        ({"factor_1": "99"}, {}, "factor_1 was not logged, or with a code that the model never saw"),
        ({"factor_2": None, "factor_3": 9}, {}, "factor_2 was not logged"),  # a weaker one was
        ({"bureau_score": 9002}, {}, "outside of its range of 300 to 850"),
        ({"bureau_score": 0}, {}, "outside of its range"),
        ({"bureau_day": 20_719}, {}, "2026-09-23, after the decision"),
        ({"bureau_day": 1e12}, {}, "no day"),
        (ABSENT, {}, "bureau_score was not logged with a value"),
        ({"bureau_score": None}, {"missing": "allow"}, "bureau_score was not logged with a value"),
        ({"bureau_day": None}, {"missing": "allow"}, "was not logged"),
        ({}, {"feature": "burea_score"}, "burea_score, which small does not have"),
        ({}, {"created": "bureau_date"}, "bureau_date, which small does not have"),
    ],
)
def test_what_is_declared_and_not_in_the_log_is_a_hole(
    bundle: Bundle, bought: dict[str, Any], changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(SerinusError, match="SRN-NOTICE-009") as refused:
        used_scores(decision(bundle, **bought), bundle, rules(**changes))
    assert word in str(refused.value)


def test_an_applicant_without_a_score_is_told_of_none_where_the_policy_allows_it(bundle: Bundle) -> None:
    assert used_scores(decision(bundle, **ABSENT), bundle, rules(missing="allow")) == ()


def test_a_day_of_grace_is_given_to_a_provider_whose_day_has_begun(bundle: Bundle) -> None:
    assert used_scores(decision(bundle, bureau_day=20_718), bundle, rules())[0].created == date(2026, 9, 22)


@pytest.fixture
def place(tmp_path: Path) -> Home:
    home, bundle = small_home(tmp_path), scored_bundle(tmp_path)
    Registry(home).register(bundle, by="ann", owner="cards", run="run-1")
    with DecisionLog(home.decisions / "small-champion.jsonl") as log:
        log.extend([decision(bundle), decision(bundle, "hole", factor_1=None, factor_2=None)])
        log.extend([decision(bundle, "strange", factor_1="40")])
    (home.root / "notices.yaml").write_text(yaml.safe_dump(scored_policy()))
    return home


def run(capsys: pytest.CaptureFixture[str], home: Home, *arguments: str) -> tuple[int, str, str]:
    code = main(["notice", *arguments, "--jurisdiction", "US", "--home", str(home.root), "--as", "kim"])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_letter_has_the_disclosure_between_the_reasons_and_the_statement(
    place: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = run(capsys, place, "decline")
    assert code == 0, error
    text = " ".join(out.split())
    places = [
        text.index(said)
        for said in (
            "Your credit score: 400, of 2026-09-20. Scores range from a low of 300 to a high of 850.",
            "Key factors that adversely affected your credit score:",
            "- Serious delinquency",
            "- Young accounts",
            "Ask Bureau, 2 Street, Town, 800-555.",
            "The ECOA statement.",
        )
    ]
    assert places == sorted(places)
    (entry,) = [entry for entry in AuditLog(place.audit).entries() if "notice" in entry.action]
    assert entry.details["scores"] == 1


@pytest.mark.parametrize(
    ("request_id", "word"), [("hole", "none of the key factors"), ("strange", "no sentence")]
)
def test_a_letter_with_a_hole_is_neither_written_nor_recorded(
    place: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path, request_id: str, word: str
) -> None:
    policy = scored_policy()
    for texts in policy["jurisdictions"]["US"]["letters"].values():
        del texts["score"]["factors"]["bureau_score"]["40"]
    (place.root / "notices.yaml").write_text(yaml.safe_dump(policy))
    out = tmp_path / "letter.txt"
    code, _, error = run(capsys, place, request_id, "--out", str(out))
    assert (code, out.exists()) == (1, False)
    assert "SRN-NOTICE-009" in error
    assert word in error
    assert not [entry for entry in AuditLog(place.audit).entries() if "notice" in entry.action]


@pytest.mark.parametrize(("registered", "code"), [(False, 1), (True, 0)])
def test_whose_score_it_is_the_registry_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], registered: bool, code: int
) -> None:
    home, _ = installation(tmp_path, scored_policy())
    if registered:
        Registry(home).register(scored_bundle(tmp_path, name="loans"), by="ann", owner="cards", run="run-2")
    done, out, error = run(capsys, home, "decline")
    assert done == code, error
    assert ("no model here has a feature bureau_score" in error) is not registered
    assert ("ECOA statement" in out) is registered


def test_what_the_record_commits_to_tells_nobodys_score(
    place: Home, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = set[str]()
    for number, factor in ((400, "38"), (401, "40")):  # the same reasons for the decision
        with DecisionLog(place.decisions / f"small-{number}.jsonl") as log:
            event = decision(bundle, "same", bureau_score=number, bureau_day=number, factor_1=factor)
            data = msgspec.structs.replace(event.data, predictor=str(number))
            log.extend([msgspec.structs.replace(event, data=data)])
        code, out, error = run(capsys, place, "same", "--predictor", str(number))
        assert code == 0, error
        assert f"Your credit score: {number}," in " ".join(out.split())
        digests.add(
            [e for e in AuditLog(place.audit).entries() if "notice" in e.action][-1].details["letter_sha256"]
        )
    assert len(digests) == 1


def broken(change: Any) -> dict[str, Any]:
    policy = scored_policy()
    change(policy["jurisdictions"]["US"])
    return policy


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda us: us["letters"]["en"].pop("score"), "US.en.score is missing, and scores are declared"),
        (lambda us: us.pop("scores"), "US.en.score speaks of credit scores, and scores declares none"),
        (lambda us: us["letters"]["en"]["score"].update(closing=[]), "US.en.score does not say {provider}"),
        (lambda us: us["letters"]["en"]["score"].update(closing=["{provider} {nobody}"]), "{nobody} stands for"),
        (lambda us: us["letters"]["en"]["score"].update(closing=["{provider} [address]"]), "[address] was not filled"),
        (lambda us: us["letters"]["en"]["score"].update(factors={}), "no sentences for the codes of bureau_score"),
        (lambda us: us["scores"][0].update(low=850), "the range from 850 to 850 is none"),
        (lambda us: us["scores"][0]["provider"].update(telephone=" "), "telephone of the provider is blank"),
        (lambda us: us["scores"][0].update(created="factor_1"), "a feature is named twice"),
        (lambda us: us["letters"]["en"]["closing"].append("{score}"), "{score} stands for nothing"),
    ],
)  # fmt: skip
def test_a_declaration_that_cannot_be_printed_is_refused(tmp_path: Path, change: Any, word: str) -> None:
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(broken(change)))
    with pytest.raises(SerinusError, match="SRN-NOTICE-001") as refused:
        load_notice_policy(Home(tmp_path), tmp_path / "p.yaml")
    assert word in str(refused.value)


def test_the_texts_of_the_tests_are_sound(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(scored_policy()))
    found = load_notice_policy(Home(tmp_path), tmp_path / "p.yaml").jurisdictions["US"].letters["en"].score
    assert found is not None
    assert found.heading == TEXTS["heading"]


def test_the_example_policy_says_of_a_score_all_that_the_law_asks_for(bundle: Bundle) -> None:
    example = Path(__file__).parents[3] / "models" / "credit" / "notices.yaml"
    policy = load_notice_policy(Home(example.parent), example)
    score = policy.jurisdictions["US"].scores[0]
    told = Disclosure(score=score, value=612.0, created=date(2026, 9, 2), factors=("38", "08"))
    today = date(2026, 9, 25)
    made = letter(policy, "US", decision(bundle), (), scores=[told], today=today, applied=today)
    text = " ".join(to_text(made.document).split())
    for said in (
        "Your credit score was 612 on September 2, 2026.",  # number and day: 15 USC 1681g(f)(1)(A) and (D)
        "from 300 (the lowest) to 850 (the highest)",  # range: (B)
        "- Serious delinquency",  # key factors: (C)
        "- Number of recent inquiries on consumer report",  # (f)(9)
    ):
        assert said in text, said
    assert "800-555-0199" in text[text.index("The score came from") :]  # provider: (E)
