"""The rollout engine: it decides how a candidate's share of live traffic moves.

The same engine runs on Kubernetes and on one machine. ``decide`` is pure: it
reads a spec, a status and one observation and answers with the next status.
``engine`` observes, persists the intent and only then acts, through the ports
of ``ports``; the adapters are the only modules that know Envoy or Prometheus.
"""
