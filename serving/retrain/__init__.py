"""The alert receiver: a drift alert becomes a pipeline run, once, and accountably.

It takes Alertmanager's webhook, decides by a pure policy, and starts the
pipeline through a port. It never imports the pipeline. See docs/drift.md.
"""
