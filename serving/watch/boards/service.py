"""Requests, errors and latency of the scorers."""

from __future__ import annotations

from serving.watch.boards.series import ONE, RATE, latency
from serving.watch.grafana import Board, Panel

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
                    tuple((latency(q), f"{{{{predictor}}}} p{100 * q:g}") for q in (0.5, 0.95, 0.99)),
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
