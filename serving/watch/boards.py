"""What the dashboards show. The queries are run against a real Prometheus in tests/local/watch."""

from __future__ import annotations

from serving.watch.grafana import Board, Panel

ONE = 'namespace=~"$namespace", model=~"$model"'
"""The selector of one model; .* in both is all of them."""
ANY = 'namespace=~"$namespace"'
RATE = "[$__rate_interval]"


def _quantile(q: float, by: str = "predictor") -> str:
    return f"histogram_quantile({q}, sum by ({by}, le) (rate(model_latency_seconds_bucket{{{ONE}}}{RATE})))"


SERVICE = Board(
    uid="serinus-service",
    title="serinus: service",
    says="Requests, errors and latency against their objectives, and what makes the scorer refuse.",
    rows=(
        (
            "Service level",
            (
                Panel(
                    "Share of errors",
                    (
                        (f"model:serinus_errors:ratio_rate5m{{{ONE}}}", "{{model}} 5m"),
                        (f"model:serinus_errors:ratio_rate1h{{{ONE}}}", "{{model}} 1h"),
                        ("1 - serinus_slo:errors:objective_ratio", "allowed"),
                    ),
                    says="Errors of the server. The objective stands in the recording rules.",
                    unit="percentunit",
                ),
                Panel(
                    "Share of slow answers",
                    (
                        (f"model:serinus_slow:ratio_rate5m{{{ONE}}}", "{{model}} 5m"),
                        (f"model:serinus_slow:ratio_rate1h{{{ONE}}}", "{{model}} 1h"),
                        ("1 - serinus_slo:latency:objective_ratio", "allowed"),
                    ),
                    says="Answers that took longer than 0.1 s.",
                    unit="percentunit",
                ),
                Panel(
                    "Burn rate of the error budget",
                    (
                        (
                            f"model:serinus_errors:ratio_rate1h{{{ONE}}} / on () group_left () "
                            "(1 - serinus_slo:errors:objective_ratio)",
                            "{{model}} 1h",
                        ),
                    ),
                    says="1 uses up the budget exactly in its period; 14.4 pages.",
                    limits=((1, "yellow"), (14.4, "red")),
                ),
            ),
        ),
        (
            "Traffic",
            (
                Panel(
                    "Requests by code",
                    (
                        (
                            f"sum by (predictor, code) (rate(serinus_requests_total{{{ONE}}}{RATE}))",
                            "{{predictor}} {{code}}",
                        ),
                    ),
                    unit="reqps",
                ),
                Panel(
                    "Latency",
                    tuple((_quantile(q), f"{{{{predictor}}}} p{100 * q:g}") for q in (0.5, 0.95, 0.99)),
                    unit="s",
                ),
                Panel(
                    "Decisions",
                    (
                        (
                            f"sum by (predictor, decision) (rate(serinus_decisions_total{{{ONE}}}{RATE}))",
                            "{{predictor}} {{decision}}",
                        ),
                    ),
                    unit="reqps",
                ),
            ),
        ),
        (
            "Room",
            (
                Panel(
                    "Requests in flight",
                    ((f"sum by (predictor) (serinus_requests_in_flight{{{ONE}}})", "{{predictor}}"),),
                ),
                Panel(
                    "Requests shed",
                    (
                        (
                            f"sum by (predictor, reason) (rate(serinus_requests_shed_total{{{ONE}}}{RATE})) "
                            f"or 0 * sum by (predictor) (rate(serinus_requests_total{{{ONE}}}{RATE}))",
                            "{{predictor}} {{reason}}",
                        ),
                    ),
                    unit="reqps",
                ),
                Panel(
                    "Decisions that wait for the disk",
                    ((f"max by (predictor) (serinus_decision_log_pending{{{ONE}}})", "{{predictor}}"),),
                    limits=((5000, "red"),),
                ),
            ),
        ),
        (
            "Proxy",
            (
                Panel(
                    "Requests that Envoy sent on",
                    (
                        (
                            f"sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_total{RATE}))",
                            "{{envoy_cluster_name}}",
                        ),
                    ),
                    unit="reqps",
                    width=12,
                ),
                Panel(
                    "What is served",
                    ((f"max by (model, predictor, version, digest) (serinus_model_info{{{ONE}}})", "shown"),),
                    kind="table",
                    width=12,
                ),
            ),
        ),
    ),
)

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
                Panel("Latency, 99 % by predictor", ((_quantile(0.99), "{{predictor}}"),), unit="s"),
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


def _now(expression: str, by: str = "model") -> str:
    return f"max by ({by}) ({expression})"


RISK = Board(
    uid="serinus-risk",
    title="serinus: model risk",
    says="All models in one table, a line for each, worst figures first to be sorted by; audit log and retraining.",
    by_model=False,
    rows=(
        (
            "All models",
            (
                Panel(
                    "Models",
                    ((f"count(count by (model) (serinus_model_info{{{ANY}}}))", "served"),),
                    kind="stat",
                    width=6,
                ),
                Panel(
                    "Models that drift",
                    (
                        (
                            f"count(max by (model) (serinus_drift_active{{{ANY}}}) == 1) or vector(0)",
                            "drift",
                        ),
                    ),
                    kind="stat",
                    width=6,
                    limits=((1, "red"),),
                ),
                Panel(
                    "Alerts that fire",
                    (('count(ALERTS{alertname=~"Serinus.*", alertstate="firing"}) or vector(0)', "fire"),),
                    kind="stat",
                    width=6,
                    limits=((1, "red"),),
                ),
                Panel(
                    "Audit log",
                    (
                        ("max(serinus_audit_broken)", "broken"),
                        ("max(serinus_audit_entries)", "entries"),
                    ),
                    kind="stat",
                    width=6,
                ),
                Panel(
                    "Figures by model",
                    (
                        (f"sum by (model) (predictor:serinus_requests:rate5m{{{ANY}}})", "requests/s"),
                        (_now(f"model:serinus_errors:ratio_rate1h{{{ANY}}}"), "errors"),
                        (_now(f"serinus_drift_active{{{ANY}}}"), "drift"),
                        (f"min by (model) (data_quality_score{{{ANY}}})", "data quality"),
                        (
                            f'min by (model) (serinus_realised_performance_ratio{{{ANY}, measure="precision"}})',
                            "precision",
                        ),
                        (
                            f'min by (model) (serinus_realised_performance_ratio{{{ANY}, measure="auc"}})',
                            "AUC",
                        ),
                        (f"min by (model) (serinus_label_coverage_ratio{{{ANY}}})", "labels"),
                    ),
                    kind="table",
                    width=24,
                ),
            ),
        ),
        (
            "Labels",
            (
                Panel(
                    "Precision with its interval",
                    tuple(
                        (
                            f'serinus_realised_performance{part}_ratio{{{ANY}, measure="precision"}}',
                            f"{{{{model}}}} {{{{predictor}}}} {word}",
                        )
                        for part, word in (("", "precision"), ("_low", "low"), ("_high", "high"))
                    ),
                    unit="percentunit",
                ),
                Panel(
                    "Labels by what became of them",
                    (
                        (
                            f"sum by (model, result) (rate(serinus_labels_total{{{ANY}}}{RATE}))",
                            "{{model}} {{result}}",
                        ),
                    ),
                ),
                Panel(
                    "Label delay, 90 %",
                    (
                        (
                            "histogram_quantile(0.9, sum by (model, le) "
                            f"(serinus_label_delay_seconds_bucket{{{ANY}}}))",
                            "{{model}}",
                        ),
                    ),
                    unit="s",
                ),
            ),
        ),
        (
            "Reviews and cost",
            (
                Panel(
                    "Referred to a person",
                    (
                        (f"serinus_review_load_ratio{{{ANY}}}", "{{model}} {{predictor}} referred"),
                        (f"serinus_review_override_ratio{{{ANY}}}", "{{model}} {{predictor}} overridden"),
                    ),
                    says="Referred share of the latest decisions; share of answers against the model's leaning.",
                    unit="percentunit",
                ),
                Panel(
                    "The queue, and how long its oldest case waits",
                    (
                        (f"sum by (model) (serinus_review_waiting{{{ANY}}})", "{{model}} cases"),
                        (
                            f"(time() - min by (model) (serinus_review_oldest_timestamp_seconds{{{ANY}}})) / 3600",
                            "{{model}} hours",
                        ),
                    ),
                ),
                Panel(
                    "False positives saved",
                    ((f"serinus_false_positives_saved{{{ANY}}}", "{{model}} {{predictor}}"),),
                    says="Good ones that the model leaned to take for bad, and a person did not.",
                ),
                Panel(
                    "Cost per decision with its interval",
                    tuple(
                        (
                            f"serinus_cost_per_decision{part}{{{ANY}}}",
                            f"{{{{model}}}} {{{{predictor}}}} {word} {{{{currency}}}}",
                        )
                        for part, word in (("", "mean"), ("_low", "low"), ("_high", "high"))
                    ),
                    says="Wrong declines, wrong approvals and looks, by the contract's costs; settled decisions only.",
                    width=16,
                ),
                Panel(
                    "Approvals overridden",
                    ((f"sum by (model) (serinus_approval_overrides_total{{{ANY}}})", "{{model}}"),),
                ),
            ),
        ),
        (
            "Accountability",
            (
                Panel(
                    "Retraining",
                    (("sum by (outcome) (serinus_retrain_requests_total)", "{{outcome}}"),),
                ),
                Panel(
                    "Since the audit log was verified",
                    (("time() - max(serinus_audit_verified_timestamp_seconds)", "seconds"),),
                    unit="s",
                ),
                Panel(
                    "Time left until a version in use is to be reviewed",
                    (
                        (
                            f"max by (model, version) (serinus_review_due_timestamp_seconds{{{ANY}}}) - time()",
                            "{{model}} v{{version}}",
                        ),
                    ),
                    says="Below zero it is overdue.",
                    unit="s",
                ),
            ),
        ),
    ),
)

BOARDS = (SERVICE, ROLLOUT, DRIFT, RISK)
