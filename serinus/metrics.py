"""The one list of Prometheus names, labels and bucket edges (documented in docs/metrics.md).

Counters and classic histograms only: they can be subtracted, so evidence can be
taken from disjoint intervals. Labels are bounded: ``model`` and ``predictor``
are configured names, ``code`` an HTTP status, ``feature`` a declared feature.
The model's digest appears only in ``INFO``, to be joined.
"""

from __future__ import annotations

# --- the scorer -----------------------------------------------------------
REQUESTS = "serinus_requests_total"
"""{model, predictor, code}: requests answered, by HTTP status."""
LATENCY = "model_latency_seconds"
"""{model, predictor}: from the request's last byte to the answer's first."""
LATENCY_EDGES = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LATENCY_JUDGED_FROM = 0.01
"""Seconds below which a rollout does not compare latencies: nobody waits for a
millisecond, and two good models of different size differ by that much."""
SCORE = "serinus_score"
"""{model, predictor}: calibrated probability of the bad outcome."""
SCORE_EDGES = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99,
)  # fmt: skip
SCORE_JUDGED_FROM = 0.05
"""Probability below which a rollout does not compare scores: far from every
decision two sound models order the harmless cases differently."""
DECISIONS = "serinus_decisions_total"
"""{model, predictor, decision}: approve, review or decline."""
INFO = "serinus_model_info"
"""{model, predictor, version, digest} = 1: what is being served."""
DROPPED = "serinus_payloads_dropped_total"
"""{model, predictor}: payloads that could not be handed to the drift monitor."""
UNKNOWN_LEVELS = "serinus_unknown_levels_total"
"""{model, predictor, feature}: values of a category that training had not seen."""
LOG_PENDING = "serinus_decision_log_pending"
"""{model, predictor}: answered decisions not yet on the disk."""
SHED = "serinus_requests_shed_total"
"""{model, predictor, reason}: scoring requests refused for want of time or room: deadline, overload, queue."""
IN_FLIGHT = "serinus_requests_in_flight"
"""{model, predictor}: scoring requests that wait for a thread, a store or the disk."""
KEYS_PUT_BACK = "serinus_subject_keys_put_back_total"
"""{model, predictor}: times that the store of persons' keys turned out to lack what it had confirmed."""

# --- requests by entity ---------------------------------------------------
ENTITY_UNKNOWN = "serinus_entity_unknown_total"
"""{model, predictor, entity}: entities asked for that have no event in reach of the windows."""
EVENT_LATE = "serinus_event_late_total"
"""{model, predictor}: records to score that lay further behind the newest event than the contract's lateness."""
FEATURE_MISSING_TOTAL = "serinus_feature_missing_total"
"""{model, predictor, feature}: features that were missing in requests by entity."""
EVENTS = "serinus_events_total"
"""{model, predictor, outcome}: events and labels offered to the online store; outcome is added, duplicate,
late, unnamed, label or label_waiting."""
STORE_FAILURES = "serinus_feature_store_failures_total"
"""{model, predictor, operation}: calls that the online store did not answer; operation is look, add or label."""
STORE_UNKEPT = "serinus_feature_store_unkept"
"""{model, predictor}: events and labels that the store in memory holds and its file does not: the disk is full."""
WITHOUT_STORE = "serinus_scored_without_store_total"
"""{model, predictor}: records scored with every windowed feature missing, because the store did not answer."""
STORE_LATENCY = "serinus_feature_store_seconds"
"""{model, predictor, operation}: seconds that a look or an addition took."""
STORE_LATENCY_EDGES = (
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    1.0,
)

# --- the drift monitor ----------------------------------------------------
# feature="model score" is the score.
DRIFT_EVIDENCE = "serinus_drift_evidence_log10"
"""{model, predictor, feature}: evidence of a shift beyond the tolerance; held against the threshold."""
DRIFT_THRESHOLD = "serinus_drift_evidence_threshold_log10"
"""{model, predictor}: what each feature's evidence is held against; it keeps the model's false-alarm budget."""
DRIFT_PSI = "serinus_drift_psi"
DRIFT_PSI_LIMIT = "serinus_drift_psi_limit"
"""{model, predictor, feature}: what PSI has to exceed: the policy's band, or what chance alone would give."""
DRIFT_KL = "serinus_drift_kl_divergence"
"""{model, predictor, feature}: Kullback-Leibler divergence from the reference, nats."""
DRIFT_WASSERSTEIN = "serinus_drift_wasserstein_distance"
"""{model, predictor, feature}: in units of the feature; absent for categories."""
DRIFT_EFFECT_ROWS = "serinus_drift_effect_rows"
"""{model, predictor, feature}: values that the effect rests on."""
DRIFT_P_VALUE = "serinus_drift_p_value"
DRIFT_DISTANCE = "serinus_drift_distance"
"""{model, predictor, feature}: the two-sample test of the last window, a second opinion; also of whole rows
(feature="whole row") and of the scores' entropy (feature="model uncertainty")."""
DRIFT_ONLINE = "serinus_drift_online_statistic"
"""{model, predictor, feature, test}: an online test's statistic; test is cvm, fet_more or fet_fewer."""
DRIFT_ONLINE_THRESHOLD = "serinus_drift_online_threshold"
DRIFT_ONLINE_CROSSINGS = "serinus_drift_online_crossings_total"
"""{model, predictor, feature, test}: times that an online test went above its threshold; no alert rests on it."""
DRIFT_P_THRESHOLD = "serinus_drift_p_threshold"
DRIFT_ACTIVE = "serinus_drift_active"
"""{model, predictor, kind} 0 or 1; kind is feature or score. Absent where nothing could be judged."""
DRIFT_EVENTS = "drift_events_total"
"""{model, predictor, kind}: times that drift, bad data or a difference between predictors (pair) began."""
DRIFT_PAIR_EVIDENCE = "serinus_drift_pair_evidence_log10"
"""{model, predictor, feature}: evidence that a predictor sees or scores other than the champion at the same hour."""
DRIFT_PAIR_THRESHOLD = "serinus_drift_pair_evidence_threshold_log10"
"""{model, predictor}."""
DRIFT_PAIR_PSI = "serinus_drift_pair_psi"
"""{model, predictor, feature}: PSI between the predictors in the last look."""
DRIFT_PAIR_ACTIVE = "serinus_drift_pair_active"
"""{model, predictor, kind} 0 or 1: they differ by evidence and effect; kind is feature or score."""
DATA_QUALITY = "data_quality_score"
DATA_QUALITY_BAD = "serinus_data_quality_bad"
"""{model, predictor} 0 or 1: a share of bad values has risen. Never a reason to retrain."""
DATA_QUALITY_SHARE = "serinus_data_quality_share_ratio"
"""{model, predictor, feature, kind}: share of bad values; kind is missing, unknown, outside, or refused (whole rows:
another shape or type), with feature="" there."""
DATA_QUALITY_EVIDENCE = "serinus_data_quality_evidence_log10"
"""{model, predictor, feature, kind}: evidence that the share has risen."""
DATA_QUALITY_THRESHOLD = "serinus_data_quality_evidence_threshold_log10"
"""{model, predictor}: what it is held against."""
ESTIMATED = "serinus_estimated_performance_ratio"
"""{model, predictor, measure}: auc, precision, recall, brier, flagged and base_rate that calibrated probabilities
promise, before labels arrive."""
ESTIMATED_LOW = "serinus_estimated_performance_low_ratio"
ESTIMATED_HIGH = "serinus_estimated_performance_high_ratio"
ESTIMATED_ROWS = "serinus_estimated_rows"
"""{model, predictor}: scores that the estimate rests on."""
DRIFT_PAYLOADS = "serinus_drift_payloads_total"
DRIFT_LAST_EVALUATION = "serinus_drift_last_evaluation_timestamp_seconds"
"""{model, predictor}: when the last look with data was judged."""
DRIFT_WINDOW_ROWS = "serinus_drift_window_rows"
"""{model, predictor}: rows in the open look."""
DRIFT_ROWS = "serinus_drift_rows_total"
"""{model, predictor}: rows in the looks that were judged."""
DRIFT_UNSAVED = "serinus_drift_state_failures_total"
"""{model}: times that the monitor's state could not be kept; a restart would start anew."""
DRIFT_INFO = "serinus_drift_info"
"""{model, digest} = 1: the bundle whose reference a monitor that judges takes for its yardstick."""
DRIFT_FORWARDED = "serinus_drift_forwarded_total"
"""{model, outcome}: messages of a replica to the monitor that judges: taken, failed (sent again) or refused."""
FEATURE_MISSING = "serinus_feature_missing_ratio"
"""{model, predictor, feature}: share of missing values."""

# --- retraining -----------------------------------------------------------
RETRAIN_REQUESTS = "serinus_retrain_requests_total"
"""{outcome}: started, duplicate, cooling_down, capped, needs_person, ignored, succeeded, failed, interrupted,
notice_failed."""
RETRAIN_RUNNING = "serinus_retrain_running"
"""Runs under way."""

# --- outcomes: late labels joined to decisions ---------------------------
OUTCOMES = "serinus_outcomes_total"
"""{model, predictor, decision, outcome}: labelled decisions older than the label's delay, whatever the order in which
labels came, so that canary and champion are compared at the same age. outcome is good or bad. Label guards read it."""
LABEL_RESULTS = "serinus_labels_total"
"""{model, result}: joined, early (its decision has not been seen yet), corrected, repeated, unreadable, expired."""
LABEL_DELAY = "serinus_label_delay_seconds"
"""{model}: from a decision to its label's arrival."""
LABEL_DELAY_EDGES = (
    60.0,
    600.0,
    3600.0,
    21600.0,
    86400.0,
    259200.0,
    604800.0,
    1209600.0,
    2592000.0,
    5184000.0,
    7776000.0,
)
LABEL_COVERAGE = "serinus_label_coverage_ratio"
"""{model, predictor}: labelled ÷ decisions whose label is due. Absent while none is due."""
LABELS_DUE = "serinus_labels_due"
"""{model, predictor}: decisions of the coverage window whose label is due."""
REALISED = "serinus_realised_performance_ratio"
"""{model, predictor, measure}: auc, precision, recall, brier, calibration_error, bad_rate of the latest
labelled decisions."""
REALISED_LOW = "serinus_realised_performance_low_ratio"
REALISED_HIGH = "serinus_realised_performance_high_ratio"
REALISED_ROWS = "serinus_realised_rows"
"""{model, predictor}: labelled decisions that the realised figures rest on."""
PERFORMANCE_FLOOR = "serinus_performance_floor_ratio"
"""{model, measure}: what the owner asks for."""
PERFORMANCE_BELOW = "serinus_performance_below_floor"
"""{model, predictor, measure} 0 or 1: the whole interval lies below the floor. Absent without enough labels."""
CONCEPT_EVIDENCE = "serinus_concept_drift_evidence_log10"
"""{model, predictor, question}: evidence from labels that the model is worse than at validation, beyond the margin;
question is loss, precision, underestimates or overestimates."""
CONCEPT_THRESHOLD = "serinus_concept_drift_threshold_log10"
"""{model, predictor}: what the evidence is held against."""
CONCEPT_WORSE = "serinus_concept_drift_active"
"""{model, predictor} 0 or 1: at least one question is answered with yes. Absent without labels."""
FAIRNESS_SELECTION = "serinus_fairness_selection_ratio"
"""{model, predictor, attribute, group}: share approved."""
FAIRNESS_IMPACT = "serinus_fairness_impact_ratio"
"""{model, predictor, attribute, group}: share approved over the reference group's."""
FAIRNESS_IMPACT_HIGH = "serinus_fairness_impact_high_ratio"
"""Upper end of its 95 % interval."""
FAIRNESS_BREACH = "serinus_fairness_breach"
"""{model, predictor, attribute} 0 or 1: a group's whole interval lies below the policy's minimum.
Absent without data."""
OUTCOMES_DECISIONS = "serinus_outcomes_decisions_total"
"""{model, predictor}: decisions that the join knows of; those that it does not know can have no outcome."""
REVIEW_LOAD = "serinus_review_load_ratio"
"""{model, predictor}: referred to a person ÷ the latest decisions."""
REVIEW_WAITING = "serinus_review_waiting"
"""{model, predictor}: referred decisions without an answer."""
REVIEW_OLDEST = "serinus_review_oldest_timestamp_seconds"
"""{model, predictor}: when the oldest of them was decided. Absent while none waits."""
REVIEW_ANSWERS = "serinus_review_answers"
"""{model, predictor, answer, leaning}: answers to kept decisions; answer and leaning are good or bad."""
REVIEW_OVERRIDE = "serinus_review_override_ratio"
"""{model, predictor}: answers against the model's leaning ÷ answers. Absent without an answer."""
FALSE_POSITIVES_SAVED = "serinus_false_positives_saved"
"""{model, predictor}: good ones that the model leaned to take for bad, and a person did not. Absent without answers."""
COST = "serinus_cost_per_decision"
"""{model, predictor, currency}: mean cost of a settled decision by the contract's costs. Absent without either."""
COST_LOW = "serinus_cost_per_decision_low"
COST_HIGH = "serinus_cost_per_decision_high"
COST_ROWS = "serinus_cost_rows"
"""{model, predictor}: settled decisions that the cost rests on."""
OUTCOMES_LAST = "serinus_outcomes_last_read_timestamp_seconds"
"""{model}: when the logs were last read to their ends."""

# --- archive: logs of a cluster kept as files -----------------------------
ARCHIVE_LINES = "serinus_archive_lines_total"
"""{source, result}: kept, duplicate (it was here already), aside (it has no place in its log), passed (of a
writer that is not kept here), waiting (for its log, which cannot be written), erased (an outcome of a person who was
erased, which is not kept). source is http, kafka:<topic> or waiting (lines that had waited), here and below."""
ARCHIVE_BYTES = "serinus_archive_bytes_total"
"""{source}: bytes kept."""
ARCHIVE_GAPS = "serinus_archive_gaps_total"
"""{source}: places in a log at which entries are missing."""
ARCHIVE_MISSING = "serinus_archive_missing_total"
"""{source}: entries that are missing there."""
ARCHIVE_LOST = "serinus_archive_lost_messages_total"
"""{source}: messages that the topic had removed before they were read."""
ARCHIVE_LAG = "serinus_archive_lag_messages"
"""{source}: messages of the topic that are not kept yet. Absent until the brokers said."""
ARCHIVE_FAILING = "serinus_archive_failing"
"""{source} = 1: nothing can be read or kept now."""
ARCHIVE_LAST = "serinus_archive_last_timestamp_seconds"
"""{source}: when lines last came and were on the disk. Absent before the first."""
ARCHIVE_DAMAGED = "serinus_archive_damaged_logs"
"""Logs that cannot be written, whose lines wait below archive/waiting."""
ARCHIVE_REFUSED = "serinus_archive_refused_total"
"""{reason}: posts refused: busy, disk, gap, gone, large, name or slow."""

# --- rollouts -------------------------------------------------------------
ROLLOUT_PHASE = "serinus_rollout_phase"
"""{model, rollout, phase} = 1: where the model's latest rollout stands; one series per rollout shown."""
ROLLOUT_PHASE_SINCE = "serinus_rollout_phase_since_timestamp_seconds"
"""{model, rollout}: since when."""
ROLLOUT_WEIGHT = "serinus_rollout_weight_ratio"
"""{model, rollout, predictor, role}: share of live traffic as decided; role is champion or candidate."""
ROLLOUT_EVIDENCE = "serinus_rollout_evidence_log10"
"""{model, rollout, guard}: evidence of harm by guard; guard="all" is what decides."""
ROLLOUT_THRESHOLD = "serinus_rollout_evidence_threshold_log10"
"""{model, rollout}: at or above it the candidate is rolled back."""
ROLLOUT_REQUESTS = "serinus_rollout_requests"
"""{model, rollout, role, answer}: requests answered since the rollout began; answer is good or bad."""
ROLLOUT_LAST_LOOK = "serinus_rollout_last_look_timestamp_seconds"
"""{model, rollout}: when the engine last looked."""
ROLLOUT_LAST_DATA = "serinus_rollout_last_data_timestamp_seconds"
"""{model, rollout}: when the evidence last had data."""
ROLLOUTS_ENDED = "serinus_rollouts_ended_total"
"""{model, result}: rollouts that ended, as promoted, rolled_back, aborted or failed."""

# --- the controller on Kubernetes -----------------------------------------
CONTROLLER_LEADER = "serinus_controller_leader"
"""0 or 1: this replica acts."""
CONTROLLER_ROLLOUTS = "serinus_controller_rollouts"
"""ModelRollouts that have not ended."""
CONTROLLER_CALLS = "serinus_controller_api_calls_total"
"""Calls to the API server, watches included."""
CONTROLLER_WATCH_AGE = "serinus_controller_watch_age_seconds"
"""How long the most silent watch has heard nothing; bookmarks come each minute."""

# --- approvals ------------------------------------------------------------
OVERRIDES = "serinus_approval_overrides_total"
"""{model}: approvals that stood for all that were missing."""
OVERRIDE_LAST = "serinus_approval_override_last_timestamp_seconds"
"""{model}: when the last of them was given. Absent without one."""

# --- the record keeper on Kubernetes ---------------------------------------
RECORDS = "serinus_records_written_total"
"""{kind}: turns of rollouts and words of people that were recorded; kind is turn or word."""
RECORDS_REFUSED = "serinus_records_refused_approvals_total"
"""Approvals that do not count."""
RECORDS_GAPS = "serinus_records_gaps_total"
"""Times that turns of a rollout were missed, which the audit log says too."""
RECORDS_UNKNOWN = "serinus_records_unknown_digests_total"
"""Rollouts of a digest that the registry does not know."""
RECORDS_UNFOLLOWED = "serinus_records_unfollowed_total"
"""Turns and words that the registry refused: it says something else than the traffic."""
RECORDS_FAILURES = "serinus_records_failures_total"
"""Tries to record that failed; each is tried again until it succeeds."""
RECORDS_WATCH_AGE = "serinus_records_watch_age_seconds"
"""How long the most silent watch has heard nothing; bookmarks come each minute."""
RECORDS_VERSIONS = "serinus_records_versions_total"
"""{result}: versions that callers told of; result is created, known, refused or failed."""

# --- the audit log --------------------------------------------------------
AUDIT_ENTRIES = "serinus_audit_entries"
"""Entries of the audit log that verified."""
AUDIT_BROKEN = "serinus_audit_broken"
"""0 or 1: the chain is broken."""
AUDIT_VERIFIED = "serinus_audit_verified_timestamp_seconds"
"""When the whole log was last verified."""

# --- the registry ---------------------------------------------------------
REVIEW_DUE = "serinus_review_due_timestamp_seconds"
"""{model, version}: until when a version in use is to be reviewed."""
