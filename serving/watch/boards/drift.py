"""What the drift monitor judged."""

from __future__ import annotations

from serving.watch.boards.series import ONE, RATE
from serving.watch.grafana import Board, Panel

DRIFT = Board(
    uid="serinus-drift",
    title="serinus: drift",
    says="What the drift monitor judged, feature by feature, and how much of the traffic it saw.",
    rows=(
        (
            "Verdict",
            (
                Panel(
                    "Drift: evidence and effect together",
                    ((f"serinus_drift_active{{{ONE}}}", "{{predictor}} {{kind}}"),),
                    limits=((1, "red"),),
                    maximum=1,
                ),
                Panel(
                    "Data quality",
                    ((f"data_quality_score{{{ONE}}}", "{{predictor}}"),),
                    unit="percentunit",
                    maximum=1,
                ),
                Panel(
                    "Coverage: payloads seen of those due",
                    ((f"model:serinus_drift_coverage:ratio_rate10m{{{ONE}}}", "{{model}}"),),
                    unit="percentunit",
                ),
            ),
        ),
        (
            "By feature",
            (
                Panel(
                    "PSI over its limit",
                    (
                        (
                            f"serinus_drift_psi{{{ONE}}} / serinus_drift_psi_limit{{{ONE}}}",
                            "{{predictor}} {{feature}}",
                        ),
                    ),
                    says="Effect. Above 1 it exceeds both the policy's limit and what chance gives.",
                    limits=((1, "red"),),
                ),
                Panel(
                    "Evidence, powers of ten",
                    (
                        (f"serinus_drift_evidence_log10{{{ONE}}}", "{{predictor}} {{feature}}"),
                        (f"serinus_drift_evidence_threshold_log10{{{ONE}}}", "{{predictor}} threshold"),
                    ),
                    says="At the threshold it counts; that keeps the model's false-alarm budget.",
                ),
                Panel(
                    "p-value, a second opinion",
                    (
                        (f"serinus_drift_p_value{{{ONE}}}", "{{predictor}} {{feature}}"),
                        (f"serinus_drift_p_threshold{{{ONE}}}", "{{predictor}} threshold"),
                    ),
                    says="Two-sample test of the last window; at or below the threshold it is evidence.",
                ),
                Panel(
                    "How far from the reference",
                    (
                        (f"serinus_drift_kl_divergence{{{ONE}}}", "{{predictor}} {{feature}} KL"),
                        (
                            f"serinus_drift_wasserstein_distance{{{ONE}}}",
                            "{{predictor}} {{feature}} Wasserstein",
                        ),
                    ),
                    says="Kullback-Leibler in nats; Wasserstein in units of the feature.",
                ),
                Panel(
                    "Values behind the effect",
                    ((f"serinus_drift_effect_rows{{{ONE}}}", "{{predictor}} {{feature}}"),),
                ),
                Panel(
                    "A predictor against the champion",
                    (
                        (f"serinus_drift_pair_evidence_log10{{{ONE}}}", "{{predictor}} {{feature}}"),
                        (f"serinus_drift_pair_evidence_threshold_log10{{{ONE}}}", "{{predictor}} threshold"),
                        (f"serinus_drift_pair_psi{{{ONE}}}", "{{predictor}} {{feature}} PSI"),
                        (f"serinus_drift_pair_active{{{ONE}}}", "{{predictor}} {{kind}} differs"),
                    ),
                    says="At the same hour, so that the time of day cancels.",
                ),
            ),
        ),
        (
            "Data quality",
            (
                Panel(
                    "Bad values by kind",
                    ((f"serinus_data_quality_share_ratio{{{ONE}}}", "{{predictor}} {{feature}} {{kind}}"),),
                    unit="percentunit",
                ),
                Panel(
                    "Evidence that a share has risen, powers of ten",
                    (
                        (
                            f"serinus_data_quality_evidence_log10{{{ONE}}}",
                            "{{predictor}} {{feature}} {{kind}}",
                        ),
                        (
                            f"serinus_data_quality_evidence_threshold_log10{{{ONE}}}",
                            "{{predictor}} threshold",
                        ),
                    ),
                ),
                Panel(
                    "Missing",
                    ((f"serinus_feature_missing_ratio{{{ONE}}}", "{{predictor}} {{feature}}"),),
                    unit="percentunit",
                ),
            ),
        ),
        (
            "Performance before labels",
            tuple(
                Panel(
                    f"Estimated {measure}",
                    tuple(
                        (
                            f'serinus_estimated_performance{part}_ratio{{{ONE}, measure="{measure}"}}',
                            f"{{{{predictor}}}} {word}",
                        )
                        for part, word in (("", "estimate"), ("_low", "low"), ("_high", "high"))
                    ),
                    says="What calibrated probabilities promise on the latest traffic, with the 95 % band.",
                    unit="percentunit",
                )
                for measure in ("auc", "precision", "recall")
            ),
        ),
        (
            "Traffic",
            (
                Panel(
                    "Rows judged",
                    (
                        (
                            f"sum by (predictor) (rate(serinus_drift_rows_total{{{ONE}}}{RATE}))",
                            "{{predictor}}",
                        ),
                    ),
                ),
                Panel(
                    "Rows in the open look",
                    ((f"serinus_drift_window_rows{{{ONE}}}", "{{predictor}}"),),
                ),
                Panel(
                    "State that could not be kept",
                    ((f"increase(serinus_drift_state_failures_total{{{ONE}}}[$__range])", "times"),),
                ),
            ),
        ),
        (
            "The monitor itself",
            (
                Panel(
                    "Payloads by what became of them",
                    (
                        (
                            f"sum by (predictor, outcome) (rate(serinus_drift_payloads_total{{{ONE}}}{RATE}))",
                            "{{predictor}} {{outcome}}",
                        ),
                    ),
                    unit="reqps",
                ),
                Panel(
                    "Since a look was judged",
                    (
                        (
                            f"time() - serinus_drift_last_evaluation_timestamp_seconds{{{ONE}}}",
                            "{{predictor}}",
                        ),
                    ),
                    unit="s",
                ),
                Panel(
                    "Times that drift or bad data began",
                    ((f"increase(drift_events_total{{{ONE}}}[$__range])", "{{predictor}} {{kind}}"),),
                ),
            ),
        ),
    ),
)
