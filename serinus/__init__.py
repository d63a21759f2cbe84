"""The kernel of serinus: what training, serving and rollout must agree on.

Nothing here imports a room (``components``, ``pipelines``, ``serving``); the
rooms bring their commands to the root CLI as entry points.
"""

__version__ = "0.1.0"
