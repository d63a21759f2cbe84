"""The record keeper of a cluster: every rollout into the registry and the audit chain of one home.

``seen`` reads what the API server says of a rollout, ``numbering`` whether its turns are still numbered as they were,
``words`` what people said and of which rollout, ``keeper`` turns both into records, each once; ``book`` writes them
into a home, ``follow`` listens to the API server.
"""
