"""Lines of the decision log: the compiled kernel writes what Python does, byte for byte, and nothing by halves."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus import lines as module
from serinus.chain import GENESIS, Linker, decode_entry, verify_chain
from serinus.events import DecisionEncoder, DecisionEvent, DecisionLog
from serinus.lines import DecisionLines, Taken, bodies
from serinus.model import Answer, ReasonCode
from serinus.model.answers import Answers

NAMES: dict[str, Any] = {"model": 'a"b', "version": 3, "digest": "sha256:0", "predictor": "cañary"}
ANSWER = Answer(score=0.1, probability=0.25, decision="approve")
HEAD = "ab" * 32
NAN = float("nan")


def native() -> DecisionLines:
    assert module._native is not None
    return DecisionLines(**NAMES, seq=5, head=HEAD)


def expected(*taken: Taken) -> tuple[bytes, int, str]:
    """By the encoder and the linker, in Python."""
    linker = Linker(5, HEAD)
    encode = DecisionEncoder(**NAMES)
    text = b"".join(linker.link([body for one in taken for body in bodies(encode, one)]))
    return text, linker.seq, linker.head


def written(lines: DecisionLines, *taken: Taken) -> tuple[bytes, int, str]:
    for one in taken:
        lines.add(*one)
    chained = lines.take()
    assert chained.after == 5
    return b"".join(chained.blocks), chained.seq, chained.head


def single(features: list[float], request_id: str = "r", at: float = 1.5e9, answer: Answer = ANSWER) -> Taken:
    return (request_id, at, (np.array(features, dtype=np.float64),), (answer,), 0, 1, None)


def features_of(text: bytes) -> str:
    """The numbers as they stand in the only line."""
    return text.decode().partition('"features":[')[2].partition("]")[0]


any_double = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))[0])
decimals = st.tuples(st.integers(-(10**17), 10**17), st.integers(-330, 300)).map(
    lambda t: float(f"{t[0]}e{t[1]}")
)
amounts = st.integers(-(10**16), 10**16).map(lambda cents: cents / 100)


@given(st.lists(any_double | decimals | amounts, min_size=1, max_size=60))
def test_every_double_is_written_as_the_shortest_text_that_reads_back_as_it(values: list[float]) -> None:
    text, *_ = written(native(), single(values))
    assert text == expected(single(values))[0]
    shown = features_of(text).split(",")
    for value, number in zip(values, shown, strict=True):
        if math.isfinite(value):
            assert struct.pack("<d", float(number)) == struct.pack("<d", value)
            assert len(digits(number)) == len(digits(repr(value)))
        else:
            assert number == "null"


def digits(number: str) -> str:
    return number.partition("e")[0].replace("-", "").replace(".", "").strip("0")


def test_powers_of_two_and_their_neighbours_are_written_like_any_other() -> None:
    """Below a power of two doubles lie twice as close."""
    powers = 2.0 ** np.arange(-1074, 1024)
    around = np.concatenate([powers, np.nextafter(powers, 0), np.nextafter(powers, np.inf)])
    vector = around[np.isfinite(around)]
    one: Taken = ("r", 0.0, vector[np.newaxis], (ANSWER,), 0, 1, None)
    assert written(native(), one) == expected(one)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (14.0, "14.0"),
        (-20.5, "-20.5"),
        (0.07, "0.07"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e16"),
        (1.5e16, "1.5e16"),
        (1e-5, "0.00001"),
        (1.25e-6, "1.25e-6"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
        (NAN, "null"),
        (math.inf, "null"),
    ],
)
def test_numbers_look_as_json_writers_commonly_have_them(value: float, text: str) -> None:
    assert features_of(written(native(), single([value]))[0]) == text


@given(
    request_id=st.text(min_size=1),
    at=st.floats(0, 4e9),
    texts=st.lists(st.text(), max_size=4),
    as_list=st.booleans(),
)
def test_text_and_time_are_written_as_in_python(
    request_id: str, at: float, texts: list[str], as_list: bool
) -> None:
    reasons = tuple(ReasonCode("R01", text, text, 0.5) for text in texts)
    answer = Answer(score=1e-9, probability=0.25, decision="decline", reasons=reasons)
    one = single([1.0, NAN], request_id, at, answer)
    if as_list:
        one = (*one[:2], [one[2][0]], [answer], 0, 1, None)
    assert written(native(), one) == expected(one)


@given(rows=st.integers(2, 70), start=st.integers(0, 69), length=st.integers(0, 70), as_columns=st.booleans())
def test_any_part_of_a_batch_is_written_as_in_python(
    rows: int, start: int, length: int, as_columns: bool
) -> None:
    start = min(start, rows)
    stop = min(rows, start + length)
    ramp = np.linspace(0, 1, rows)
    reasons = [(ReasonCode("R01", "f", "t", 0.5),) if i % 3 else () for i in range(rows)]
    columns = Answers(score=ramp, probability=ramp / 3, decision=["review"] * rows, reasons=reasons)
    answers = columns if as_columns else list(columns)
    one: Taken = ("b", 0.5, np.arange(3.0 * rows).reshape(rows, 3), answers, start, stop, None)
    assert written(native(), one) == expected(one)


def test_lines_are_handed_over_whole_in_blocks_and_the_chain_goes_on(tmp_path: Path) -> None:
    lines, head = DecisionLines(**NAMES), ""
    with DecisionLog(tmp_path / "log.jsonl") as log:
        for part in range(3):
            for i in range(300):
                lines.add(*single([i / 7] * 30, f"{part}-{i}"))
            chained = lines.take()
            assert (chained.after, chained.seq) == (300 * part, 300 * part + 300)
            assert len(chained.blocks) > 1
            assert all(block.endswith(b"\n") for block in chained.blocks)
            log.write(chained.blocks, chained.seq, chained.head, after=chained.after)
            head = chained.head
    assert verify_chain(tmp_path / "log.jsonl") == (900, head)
    assert lines.take().blocks == []


def test_a_line_larger_than_a_block_is_one_all_the_same() -> None:
    one = single([0.1] * 40_000)
    assert written(native(), one, single([1.0])) == expected(one, single([1.0]))


def test_a_new_beginning_forgets_what_was_not_taken() -> None:
    lines = native()
    lines.add(*single([1.0]))
    lines.begin(0, GENESIS)
    lines.add(*single([2.0], "x"))
    (line,) = b"".join(lines.take().blocks).splitlines()
    entry = decode_entry(line)
    assert (entry.seq, entry.prev) == (1, GENESIS)
    assert msgspec.json.decode(entry.body, type=DecisionEvent).id == "x"


BAD: dict[str, tuple[Any, ...]] = {
    "a row of integers": ("r", 0.0, (np.array([1, 2]),), (ANSWER,), 0, 1),
    "rows that are no matrix": ("r", 0.0, np.array([1.0, 2.0]), (ANSWER,), 0, 1),
    "fewer rows than answers": ("r", 0.0, np.ones((2, 2)), [ANSWER] * 3, 0, 3),
    "an id that is no text": (7, 0.0, np.ones((1, 2)), (ANSWER,), 0, 1),
    "an id of half a character": ("\ud800", 0.0, np.ones((1, 2)), (ANSWER,), 0, 1),
    "a range beyond the answers": ("r", 0.0, np.ones((1, 2)), (ANSWER,), 0, 2),
    "a time before all": ("r", -1.0, np.ones((1, 2)), (ANSWER,), 0, 1),
    "no time": ("r", NAN, np.ones((1, 2)), (ANSWER,), 0, 1),
    "no answers": ("r", 0.0, np.ones((1, 2)), None, 0, 1),
    "an answer of another kind": ("r", 0.0, np.ones((1, 2)), (object(),), 0, 1),
    "columns too short": ("r", 0.0, np.ones((2, 2)), Answers(np.ones(1), np.ones(1), ["approve"] * 2, [()] * 2), 0, 2),
    "the last row of several": ("r", 0.0, [np.ones(2), np.ones(2), np.array([1])], [ANSWER] * 3, 0, 3),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_cannot_be_written_leaves_the_lines_as_they_were(bad: tuple[Any, ...]) -> None:
    lines = native()
    lines.add(*single([1.0]))
    with pytest.raises((TypeError, ValueError, IndexError, AttributeError)):
        lines.add(*bad)
    lines.add(*single([2.0]))
    chained = lines.take()
    assert (b"".join(chained.blocks), chained.seq, chained.head) == expected(single([1.0]), single([2.0]))


def test_without_the_kernel_python_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_native", None)
    lines = DecisionLines(**NAMES, seq=5, head=HEAD)
    taken = [single([1.5, NAN], f"r{i}") for i in range(3)]
    assert written(lines, *taken) == expected(*taken)
    assert lines.take().blocks == []
