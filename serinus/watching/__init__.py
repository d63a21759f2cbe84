"""Watching a model's traffic: sketches that add, evidence with a false-alarm budget, effects, and data quality.

    baseline = build_baseline(names, reference_rows, reference_scores)
    tally, watch = Tally(baseline), Detector(Plan(budget="90d", look="5m"), baseline)
    evidence = watch.start()
    tally.add(rows); tally.add_scores(scores)          # each batch
    evidence = watch.update(evidence, tally.take())    # each look
    report = watch.judge(evidence)

Pure: no clock, no I/O. ``docs/drift.md`` derives the guarantee and says for which streams it holds.
"""

from .bins import SCORE, Baseline, Column, build_baseline
from .concept import Concept, ConceptEvidence, ConceptPlan, ConceptReport, Validation, validated
from .detector import Detector
from .effects import Effect, between, effect
from .pairs import PairDetector, PairEvidence, PairReport
from .performance import Figure, Performance, estimate, realised
from .sketch import Sketch, Tally, decode, empty
from .types import ColumnReport, Evidence, Plan, Report, ShareReport

__all__ = [
    "SCORE",
    "Baseline",
    "Column",
    "ColumnReport",
    "Concept",
    "ConceptEvidence",
    "ConceptPlan",
    "ConceptReport",
    "Detector",
    "Effect",
    "Evidence",
    "Figure",
    "PairDetector",
    "PairEvidence",
    "PairReport",
    "Performance",
    "Plan",
    "Report",
    "ShareReport",
    "Sketch",
    "Tally",
    "Validation",
    "between",
    "build_baseline",
    "decode",
    "effect",
    "empty",
    "estimate",
    "realised",
    "validated",
]
