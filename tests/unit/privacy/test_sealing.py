"""A sealed decision: only its key opens it, only where it was written, and the chain does not care."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.chain import GENESIS, Linker, decode_entry, verify_chain
from serinus.events import DecisionEncoder, DecisionEvent, DecisionLog, WithheldEvent, decode_decision
from serinus.lines import DecisionLines, Taken, bodies
from serinus.model import Answer, ReasonCode
from serinus.privacy import SubjectKey, Withheld

NAMES: dict[str, Any] = {"model": 'a"b', "version": 3, "digest": "sha256:0", "predictor": "cañary"}
REASON = ReasonCode(code="R01", feature="income", text='too "low"', contribution=0.5)
ANSWER = Answer(score=0.1, probability=0.25, decision="decline", reasons=(REASON,))


class Ring(dict[str, bytes]):
    """Keys by id."""

    def key(self, key_id: str) -> bytes:
        try:
            return self[key_id]
        except KeyError:
            raise Withheld(key_id, "no_key", "not here") from None


def marked(clear: bytes, plain: bytes) -> bytes:
    """A seal that hides nothing, to compare the two writers by."""
    return b'"key":"k","sealed":"%d %d"' % (len(clear), len(plain))


def taken(features: list[float], name: str = "r", *keys: Any, answer: Answer = ANSWER) -> Taken:
    return (name, 1.5e9, (np.array(features, dtype=np.float64),), (answer,), 0, 1, keys)


def line(*some: Taken, **names: Any) -> list[bytes]:
    lines = DecisionLines(**{**NAMES, **names}, sealed=True)
    for one in some:
        lines.add(*one)
    return [bytes(decode_entry(text).body) for text in b"".join(lines.take().blocks).splitlines()]


doubles = st.floats(allow_nan=True, allow_infinity=False)


@given(
    st.lists(doubles, min_size=1, max_size=40),
    st.sampled_from(["approve", "review", "decline"]),
    st.booleans(),
)
def test_what_was_sealed_reads_back_as_if_it_had_not_been(
    values: list[float], text: Any, adverse: bool
) -> None:
    key = os.urandom(32)
    answer = Answer(score=0.1, probability=0.25, decision=text, reasons=(REASON,) if adverse else ())
    body = line(taken(values, 'r"1', SubjectKey("ab" * 16, key), answer=answer))[0]
    plain = bodies(DecisionEncoder(**NAMES), (*taken(values, 'r"1', answer=answer)[:6], None))[0]
    opened = decode_decision(body, Ring({"ab" * 16: key}))
    assert opened == msgspec.json.decode(plain, type=DecisionEvent)


def test_nothing_of_the_person_stands_in_the_line() -> None:
    body = line(taken([31415.9265, 2.5], "r1", SubjectKey("ab" * 16, os.urandom(32))))[0]
    for said in (b"31415", b"decline", b"R01", b"0.25", b"features", b"score"):
        assert said not in body
    found = decode_decision(body)
    assert isinstance(found, WithheldEvent)
    assert (found.id, found.data.model, found.data.verdict) == ("r1", 'a"b', "no_key")


@given(st.integers(1, 5), st.lists(doubles, min_size=1, max_size=9))
def test_the_kernel_writes_what_python_writes(rows: int, values: list[float]) -> None:
    one: Taken = ("r", 0.5, np.array([values] * rows), [ANSWER] * rows, 0, rows, (marked,) * rows)
    lines = DecisionLines(**NAMES, sealed=True)
    lines.add(*one)
    linker = Linker(0, GENESIS)
    expected = b"".join(linker.link(bodies(DecisionEncoder(**NAMES, sealed=True), one)))
    assert b"".join(lines.take().blocks) == expected


def test_two_seals_of_the_same_decision_have_nothing_in_common() -> None:
    key = SubjectKey("ab" * 16, os.urandom(32))
    first, second = line(taken([1.0], "r", key), taken([1.0], "r", key))
    assert first != second
    start = first.index(b'"sealed":"') + 10
    assert first[start : start + 16] != second[start : start + 16]


def test_each_row_of_a_batch_is_opened_by_its_own_key_alone() -> None:
    ring = Ring({f"{i:032x}": os.urandom(32) for i in range(3)})
    keys = tuple(SubjectKey(name, key) for name, key in ring.items())
    batch: Taken = ("b", 0.5, np.arange(6.0).reshape(3, 2), [ANSWER] * 3, 0, 3, keys)
    del ring[keys[1].id]
    found = [decode_decision(body, ring) for body in line(batch)]
    assert [getattr(event.data, "features", None) for event in found] == [(0.0, 1.0), None, (4.0, 5.0)]


ALTERED = {
    "another request's id": lambda a, b: a.replace(b'"id":"r1"', b'"id":"r2"'),
    "another time": lambda a, b: a.replace(b'"time":"2017', b'"time":"2018'),
    "another model's digest": lambda a, b: a.replace(b"sha256:0", b"sha256:1"),
    "another entry's ciphertext": lambda a, b: a[: a.index(b'"sealed"')] + b[b.index(b'"sealed"') :],
    "a flipped byte": lambda a, b: _flip(a),
    "a ciphertext cut short": lambda a, b: a[: a.index(b'"sealed":"') + 40] + a[a.index(b'"},"type"') :],
    "no base64": lambda a, b: a[: a.index(b'"sealed":"') + 10] + b"!" + a[a.index(b'"},"type"') :],
}  # fmt: skip


def _flip(body: bytes) -> bytes:
    at = body.index(b'"sealed":"') + 30
    return body[:at] + (b"A" if body[at : at + 1] != b"A" else b"B") + body[at + 1 :]


@pytest.mark.parametrize("alter", ALTERED.values(), ids=ALTERED)
def test_a_ciphertext_is_bound_to_its_entry(alter: Any) -> None:
    key = SubjectKey("ab" * 16, raw := os.urandom(32))
    first, second = line(taken([1.0], "r1", key), taken([2.0], "r2", key))
    ring = Ring({key.id: raw})
    assert isinstance(decode_decision(first, ring), DecisionEvent)
    found = decode_decision(alter(first, second), ring)
    assert isinstance(found, WithheldEvent)
    assert found.data.verdict == "unreadable"


def test_a_key_that_fails_leaves_the_lines_as_they_were() -> None:
    def fails(clear: bytes, plain: bytes) -> bytes:
        raise ValueError("no")

    lines = DecisionLines(**NAMES, sealed=True)
    lines.add(*taken([1.0], "a", marked))
    for bad in (fails, lambda clear, plain: "text"):  # type: ignore[misc]
        with pytest.raises((ValueError, TypeError)):
            lines.add(*taken([2.0], "b", bad))
    with pytest.raises(TypeError):
        lines.add(*taken([2.0], "b", marked, marked))
    assert lines.take().seq == 1


def test_a_log_without_keys_has_no_byte_more_than_before(tmp_path: Path) -> None:
    plain = DecisionLines(**NAMES)
    plain.add(*taken([1.0])[:6])
    plain.add("r", 1.5e9, (np.array([1.0]),), (ANSWER,), 0, 1, None)
    first, second = b"".join(plain.take().blocks).splitlines()
    assert decode_entry(first).body == decode_entry(second).body
    assert b"sealed" not in first


def test_the_chain_runs_over_the_ciphertext(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = DecisionLines(**NAMES, sealed=True)
    key = SubjectKey("ab" * 16, os.urandom(32))
    for i in range(50):
        lines.add(*taken([float(i)], f"r{i}", key))
    chained = lines.take()
    with DecisionLog(path) as log:
        log.write(chained.blocks, chained.seq, chained.head, after=0)
    assert verify_chain(path) == (50, chained.head)
