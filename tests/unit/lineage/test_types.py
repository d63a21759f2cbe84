"""Events as they are written: by the specification, and read back as they were."""

from __future__ import annotations

import uuid

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from serinus.lineage.types import Dataset, Job, Run, RunEvent, event, moment, new_run_id
from tests.support.openlineage_schema import problems

texts = st.text(min_size=1, max_size=20)
datasets = st.builds(Dataset, namespace=texts, name=texts)


@given(
    kind=st.sampled_from(["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]),
    at=st.floats(0, 4e9),
    job=texts,
    inputs=st.lists(datasets, max_size=3),
    outputs=st.lists(datasets, max_size=3),
)
def test_every_event_keeps_the_official_schema_and_comes_back_as_it_was(
    kind: str, at: float, job: str, inputs: list[Dataset], outputs: list[Dataset]
) -> None:
    made = event(
        kind,  # pyright: ignore[reportArgumentType]
        Run(new_run_id(at)),
        Job("serinus", job),
        at=at,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )
    assert problems(made) == []
    assert msgspec.json.decode(msgspec.json.encode(made), type=RunEvent) == made


def test_the_check_itself_finds_what_is_wrong() -> None:
    plain = msgspec.to_builtins(event("START", Run("not-a-uuid"), Job("serinus", "x"), at=0.0))
    assert problems(plain)
    sound = msgspec.to_builtins(event("START", Run(new_run_id()), Job("serinus", "x"), at=0.0))
    assert problems(sound) == []
    assert problems({**sound, "eventTime": "yesterday"})
    assert problems({**sound, "job": {"name": "x"}})
    facet = {"_producer": "https://serinus.io", "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/"
             "NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet"}  # fmt: skip
    assert problems({**sound, "run": {**sound["run"], "facets": {"nominalTime": facet}}})


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=20))
def test_run_ids_are_uuids_of_version_7_in_the_order_of_time(times: list[float]) -> None:
    made = [uuid.UUID(new_run_id(at)) for at in sorted(times)]
    assert {each.version for each in made} == {7}
    assert {each.variant for each in made} == {uuid.RFC_4122}
    stamps = [each.int >> 80 for each in made]
    assert stamps == sorted(stamps)
    assert stamps == [int(at * 1000) for at in sorted(times)]


def test_times_are_in_utc_to_the_millisecond() -> None:
    assert moment(0.0) == "1970-01-01T00:00:00.000Z"
    assert moment(1_764_000_000.1234) == "2025-11-24T16:00:00.123Z"
