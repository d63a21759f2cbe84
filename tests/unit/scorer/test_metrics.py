"""Counting: the edges of histograms, and a batch counted as its rows are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus import metrics as names
from serinus.model import Answer
from serinus.model.answers import Answers
from serving.scorer.identity import Identity
from serving.scorer.metrics import Metrics

IDENTITY = Identity(model="m", version=1, digest="d", predictor="p")


def below(text: str, name: str) -> dict[str, float]:
    """Cumulative counts by upper edge."""
    lines = [line for line in text.splitlines() if line.startswith(f"{name}_bucket")]
    return {line.split('le="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


@pytest.mark.parametrize(
    ("seconds", "first"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.002"), (2.5, "2.5"), (9.0, "+Inf")]
)
def test_an_observation_counts_from_the_edge_that_holds_it(seconds: float, first: str) -> None:
    metrics = Metrics(IDENTITY, [])
    metrics.request(200, seconds)
    counts = below(metrics.exposition().decode(), names.LATENCY)
    edges = list(counts)
    assert [edges[i] for i, edge in enumerate(edges) if counts[edge] == 1] == edges[edges.index(first) :]
    assert f'{names.LATENCY}_sum{{model="m",predictor="p"}} {seconds}' in metrics.exposition().decode()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*names.SCORE_EDGES, 0.0, 1.0]) | st.floats(0, 1),
            st.sampled_from(["approve", "review", "decline"]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_batch_counts_as_its_rows_do(rows: list[tuple[float, str]]) -> None:
    probabilities = np.array([p for p, _ in rows])
    verdicts = [d for _, d in rows]
    batch, single = Metrics(IDENTITY, []), Metrics(IDENTITY, [])
    batch.answers(Answers(probabilities, probabilities, verdicts, [()] * len(rows)), ())  # pyright: ignore
    for p, d in rows:
        single.answers((Answer(p, p, d),), ())  # pyright: ignore

    def counted(metrics: Metrics) -> list[str]:
        lines = metrics.exposition().decode().splitlines()
        return [line for line in lines if not line.startswith(f"{names.SCORE}_sum")]

    assert counted(batch) == counted(single)
