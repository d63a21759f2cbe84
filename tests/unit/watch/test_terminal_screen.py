"""The frame on screens of any size: nothing wider or higher than it, the urgent first, the absent said."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from serving.watch.terminal.samples import Sample, Samples
from serving.watch.terminal.screen import Screen
from serving.watch.terminal.view import view
from tests.unit.watch.terminal import ALL, DRIFT, HEAD, page, traffic

BEFORE = page(HEAD + traffic({("champion", "200"): 0, ("canary", "200"): 0}), at=940.0)
MANY = "".join(
    f'serinus_drift_evidence_log10{{model="fraud",predictor="champion",feature="feature_{k:02}"}} {k / 100}\n'
    for k in range(40)
)


def drawn(text: str, width: int = 80, height: int | None = None, **asked: object) -> list[str]:
    now = page(text + traffic({("champion", "200"): 5940, ("champion", "500"): 60, ("canary", "200"): 30}))
    failing = str(asked.pop("failing", ""))
    made = view(now, BEFORE, source="http://prometheus:9090", **asked)  # type: ignore[arg-type]
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False)
    console.print(Screen(made, height=height, failing=failing))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 110, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    assert max(map(len, drawn(ALL + MANY, width))) <= width


@pytest.mark.parametrize(("height", "features"), [(24, 7), (40, 23), (None, 43)])
def test_features_fill_the_lines_there_are_the_worst_first(height: int | None, features: int) -> None:
    lines = drawn(ALL + MANY, height=height)
    shown = [
        line.split()[0]
        for line in lines
        if line.startswith(("  amount", "  model score", "  hour", "  feature_"))
    ]
    assert shown[:2] == ["amount", "model"]
    assert len(shown) == features
    assert any("features below these" in line for line in lines) == (features < 43)
    if height is not None:
        assert len(lines) == height


def test_a_screen_of_80_columns_says_it_all() -> None:
    text = "\n".join(drawn(ALL))
    for words in (
        "champion     3   100    1 %",
        "fraud-4-a  Progressing for 100s, canary has 25 %",
        "evidence of harm, log10 ███████████████░░░░░ 1.50 of 2.00 to roll back",
        "by guard: errors 1.40, latency -0.20",
        "candidate 90 good 10 bad, looked 2s ago",
        "DRIFT  champion  by feature; data quality 0.980; judged 5s ago",
        "LABELS  champion  80 % of 1,200 due have come",
        "beyond the fairness limit: race",
        "below its floor",
        "nothing is reported of: alerts (they need --prometheus)",
    ):
        assert words in text, text


def test_with_nothing_it_says_so() -> None:
    assert "No model is there" in drawn_nothing()
    assert "nothing is reported of: rollouts, drift, labels" in "\n".join(drawn(HEAD))


def drawn_nothing() -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(Screen(view(page(""), None, source="2 of 2 programs")))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_could_not_be_read_stands_at_the_top() -> None:
    lines = drawn(HEAD, problems=("drift at http://x does not answer",), failing="Prometheus does not answer")
    assert lines[1:3] == ["! drift at http://x does not answer", "! Prometheus does not answer"]


def test_several_models_stand_in_a_table() -> None:
    lines = drawn(ALL + DRIFT.replace("fraud", "credit") + HEAD.replace("fraud", "credit"))
    start = next(k for k, line in enumerate(lines) if line.startswith("MODELS"))
    assert lines[start + 1].split()[:4] == ["fraud", "100", "1", "%"], "it needs somebody more than the other"
    assert lines[start + 2].split()[:2] == ["credit", "–"]
    assert "Progressing" in lines[start + 1]
    assert any(line.startswith("ROLLOUT  fraud-4-a") for line in lines)
    assert not any(line.startswith(("SERVICE", "DRIFT", "LABELS")) for line in lines)


@pytest.mark.parametrize("height", [24, 50])
def test_hundreds_of_models_fill_the_lines_there_are(height: int) -> None:
    many = "".join(HEAD.replace("fraud", f"model-{k:03}") for k in range(300))
    lines = drawn(many + ALL, height=height)
    assert len(lines) == height
    start = next(k for k, line in enumerate(lines) if line.startswith("MODELS"))
    assert lines[start + 1].startswith("fraud"), "the only one with anything to see"
    assert any("models with less to see" in line for line in lines)


def test_alerts_stand_before_everything_else() -> None:
    now = Samples(
        [
            *page(HEAD).of("serinus_model_info"),
            Sample(
                "ALERTS",
                {"alertname": "SerinusAuditLogBroken", "alertstate": "firing", "severity": "critical"},
                1,
            ),
        ],
        1000.0,
    )
    console = Console(file=io.StringIO(), width=80)
    console.print(Screen(view(now, None, source="p", alerts=True)))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[1].startswith("ALERTS  1 fire")
    assert lines[2].split() == ["critical", "SerinusAuditLogBroken"]
