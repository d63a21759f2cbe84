"""What became of the decisions: late labels joined to them by request id, and what that says of the model.

A program of its own beside the scorers. It follows the decision logs and the
feedback, keeps the join in SQLite, and shows realised performance, label delay
and coverage, fairness, and the counters that a rollout's label guards read.
"""
