"""What a rollout's phases are decided by, one function a reason.

Each either has something to say, and moves the rollout or holds it, or leaves it to the next:
``serving.rollout.decide`` has the table.
"""
