"""The metrics that a gate may name: what each one means."""

METRICS: dict[str, str] = {
    "auc": "area under the ROC curve",
    "auc_low": "lower end of the 95 % interval of the AUC",
    "gini": "2 AUC - 1",
    "ks": "largest distance between the score distributions of good and bad (Kolmogorov-Smirnov)",
    "average_precision": "area under the precision-recall curve, by steps",
    "average_precision_lift": "average precision over the share of bad outcomes, which chance would reach",
    "precision_at_decline": "share of bad outcomes among the declined",
    "recall_at_decline": "share of the bad outcomes that is declined",
    "false_positive_rate_at_decline": "share of the good outcomes that is declined",
    "accuracy": "share decided rightly at the decline threshold",
    "brier": "mean squared error of the calibrated probability",
    "brier_skill": "1 - Brier / Brier of quoting the base rate; 0 is no better",
    "log_loss": "mean negative log-likelihood of the calibrated probability",
    "calibration_error": "mean distance of predicted and observed share over ten equally filled bins, beyond chance",
    "single_feature_auc": "best AUC of any one feature alone; near 1 suspects a leak of the answer",
    "auc_drop": "AUC on the training rows less AUC on the test rows",
    "approved_share": "share approved without review",
    "cost_per_1000": "cost of wrong decisions per 1,000, at the contract's costs",
}
