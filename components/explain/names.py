"""The checks of the reasons: what each one means."""

CHECKS: dict[str, str] = {
    "protected_features": "protected attributes among the model's inputs",
    "additivity_error": "largest distance between a row's contributions summed up and its score",
    "adverse_without_reason": "adverse decisions for which no reason could be given",
    "says_something": "sum of all absolute contributions; nothing is explained if it is 0",
}
