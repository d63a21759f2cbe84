"""The latest rollout of a model."""

from __future__ import annotations

from serving.watch.boards.series import ONE, RATE, latency
from serving.watch.grafana import Board, Panel

ROLLOUT = Board(
    uid="serinus-rollout",
    title="serinus: rollout",
    says="The latest rollout of a model: its share of traffic, and the evidence that decides.",
    rows=(
        (
            "Decision",
            (
                Panel(
                    "Evidence of harm (log10) against its threshold",
                    (
                        (f"serinus_rollout_evidence_log10{{{ONE}}}", "{{guard}}"),
                        (f"serinus_rollout_evidence_threshold_log10{{{ONE}}}", "threshold: rollback"),
                    ),
                    says="At or above the threshold the candidate is rolled back. `all` decides.",
                    width=16,
                ),
                Panel(
                    "Phase",
                    ((f"max by (model, rollout, phase) (serinus_rollout_phase{{{ONE}}})", "shown"),),
                    kind="table",
                ),
            ),
        ),
        (
            "Traffic",
            (
                Panel(
                    "Share of traffic as decided",
                    ((f"serinus_rollout_weight_ratio{{{ONE}}}", "{{role}} {{predictor}}"),),
                    unit="percentunit",
                    maximum=1,
                ),
                Panel(
                    "Requests since the rollout began",
                    ((f"serinus_rollout_requests{{{ONE}}}", "{{role}} {{answer}}"),),
                ),
                Panel(
                    "Since the engine looked, and since it had data",
                    (
                        (f"time() - serinus_rollout_last_look_timestamp_seconds{{{ONE}}}", "looked"),
                        (f"time() - serinus_rollout_last_data_timestamp_seconds{{{ONE}}}", "had data"),
                    ),
                    unit="s",
                ),
            ),
        ),
        (
            "Candidate beside champion",
            (
                Panel(
                    "Share of errors by predictor",
                    ((f"predictor:serinus_errors:ratio_rate5m{{{ONE}}}", "{{predictor}}"),),
                    unit="percentunit",
                ),
                Panel("Latency, 99 % by predictor", ((latency(0.99), "{{predictor}}"),), unit="s"),
                Panel(
                    "Median score by predictor",
                    (
                        (
                            "histogram_quantile(0.5, sum by (predictor, le) "
                            f"(rate(serinus_score_bucket{{{ONE}}}{RATE})))",
                            "{{predictor}}",
                        ),
                    ),
                    unit="percentunit",
                ),
            ),
        ),
        (
            "History",
            (
                Panel(
                    "Rollouts that ended",
                    ((f"sum by (model, result) (serinus_rollouts_ended_total{{{ONE}}})", "ended"),),
                    kind="table",
                    width=12,
                ),
            ),
        ),
    ),
)
