"""Samples for the terminal's tests, as a page of metrics gives them."""

from __future__ import annotations

from serving.watch.terminal.samples import Samples
from serving.watch.terminal.sources import parsed

HEAD = """
serinus_model_info{model="fraud",predictor="champion",version="3",digest="sha256:0"} 1
serinus_model_info{model="fraud",predictor="canary",version="4",digest="sha256:1"} 1
"""
ROLLOUT = """
serinus_rollout_phase{model="fraud",rollout="fraud-4-a",phase="Progressing"} 1
serinus_rollout_phase{model="fraud",rollout="fraud-4-a",phase="Starting"} 0
serinus_rollout_phase_since_timestamp_seconds{model="fraud",rollout="fraud-4-a"} 900
serinus_rollout_weight_ratio{model="fraud",rollout="fraud-4-a",predictor="canary",role="candidate"} 0.25
serinus_rollout_weight_ratio{model="fraud",rollout="fraud-4-a",predictor="champion",role="champion"} 0.75
serinus_rollout_evidence_log10{model="fraud",rollout="fraud-4-a",guard="all"} 1.5
serinus_rollout_evidence_log10{model="fraud",rollout="fraud-4-a",guard="errors"} 1.4
serinus_rollout_evidence_log10{model="fraud",rollout="fraud-4-a",guard="latency"} -0.2
serinus_rollout_evidence_threshold_log10{model="fraud",rollout="fraud-4-a"} 2
serinus_rollout_requests{model="fraud",rollout="fraud-4-a",role="candidate",answer="good"} 90
serinus_rollout_requests{model="fraud",rollout="fraud-4-a",role="candidate",answer="bad"} 10
serinus_rollout_last_look_timestamp_seconds{model="fraud",rollout="fraud-4-a"} 998
"""
DRIFT = """
serinus_drift_active{model="fraud",predictor="champion",kind="feature"} 1
serinus_drift_active{model="fraud",predictor="champion",kind="score"} 0
serinus_drift_evidence_log10{model="fraud",predictor="champion",feature="amount"} 6
serinus_drift_evidence_log10{model="fraud",predictor="champion",feature="hour"} 1
serinus_drift_evidence_log10{model="fraud",predictor="champion",feature="model score"} 4
serinus_drift_evidence_threshold_log10{model="fraud",predictor="champion"} 3
serinus_drift_psi{model="fraud",predictor="champion",feature="amount"} 0.4
serinus_drift_psi{model="fraud",predictor="champion",feature="model score"} 0.01
serinus_drift_psi_limit{model="fraud",predictor="champion",feature="amount"} 0.1
serinus_drift_psi_limit{model="fraud",predictor="champion",feature="model score"} 0.1
serinus_feature_missing_ratio{model="fraud",predictor="champion",feature="amount"} 0.02
data_quality_score{model="fraud",predictor="champion"} 0.98
serinus_data_quality_bad{model="fraud",predictor="champion"} 0
serinus_drift_last_evaluation_timestamp_seconds{model="fraud",predictor="champion"} 995
"""
LABELS = """
serinus_label_coverage_ratio{model="fraud",predictor="champion"} 0.8
serinus_labels_due{model="fraud",predictor="champion"} 1200
serinus_realised_performance_ratio{model="fraud",predictor="champion",measure="precision"} 0.6
serinus_realised_performance_low_ratio{model="fraud",predictor="champion",measure="precision"} 0.5
serinus_realised_performance_high_ratio{model="fraud",predictor="champion",measure="precision"} 0.7
serinus_performance_floor_ratio{model="fraud",measure="precision"} 0.95
serinus_performance_below_floor{model="fraud",predictor="champion",measure="precision"} 1
serinus_concept_drift_evidence_log10{model="fraud",predictor="champion",question="loss"} 0.4
serinus_concept_drift_evidence_log10{model="fraud",predictor="champion",question="precision"} 1.2
serinus_concept_drift_threshold_log10{model="fraud",predictor="champion"} 3
serinus_concept_drift_active{model="fraud",predictor="champion"} 0
serinus_fairness_breach{model="fraud",predictor="champion",attribute="race"} 1
serinus_estimated_performance_ratio{model="fraud",predictor="champion",measure="auc"} 0.9
"""
ALL = HEAD + ROLLOUT + DRIFT + LABELS


def page(text: str, at: float = 1000.0, instance: str = "a") -> Samples:
    return Samples(parsed(text.strip() + "\n", instance), at)


def traffic(requests: dict[tuple[str, str], int], buckets: dict[str, dict[str, int]] | None = None) -> str:
    """Counters of requests by (predictor, code), and latency buckets by predictor."""
    lines = [
        f'serinus_requests_total{{model="fraud",predictor="{p}",code="{c}"}} {n}'
        for (p, c), n in requests.items()
    ]
    for predictor, edges in (buckets or {}).items():
        lines += [
            f'model_latency_seconds_bucket{{model="fraud",predictor="{predictor}",le="{le}"}} {n}'
            for le, n in edges.items()
        ]
    return "\n".join(lines) + "\n"
