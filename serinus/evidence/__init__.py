"""The evidence that moves traffic: a canary verdict that may be looked at any time.

    plan = Plan(guards=(Guard(name="errors", metric="errors"),))
    evidence = start(plan)
    for sample in scrapes:
        evidence = update(plan, evidence, sample)
        verdict = judge(plan, evidence)

Pure: no clock, no I/O. ``docs/evidence.md`` derives every claim and names its sources.
"""

from .judging import judge
from .paired import PairedVerdict, Pairs, judge_pairs
from .types import Counter, Evidence, Guard, GuardVerdict, Plan, Sample, Verdict
from .updating import start, update

__all__ = [
    "Counter",
    "Evidence",
    "Guard",
    "GuardVerdict",
    "PairedVerdict",
    "Pairs",
    "Plan",
    "Sample",
    "Verdict",
    "judge",
    "judge_pairs",
    "start",
    "update",
]
