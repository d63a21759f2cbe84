"""All models in one table, and what their owners answer for."""

from __future__ import annotations

from serving.watch.boards.series import ANY, RATE
from serving.watch.grafana import Board, Panel


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
                    (
                        (
                            f"max by (namespace, model) (serinus_approval_overrides_total{{{ANY}}})",
                            "{{namespace}} {{model}}",
                        ),
                    ),
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
                            "max by (namespace, model, version) "
                            f"(serinus_review_due_timestamp_seconds{{{ANY}}}) - time()",
                            "{{namespace}} {{model}} v{{version}}",
                        ),
                    ),
                    says="Below zero it is overdue.",
                    unit="s",
                ),
            ),
        ),
    ),
)
