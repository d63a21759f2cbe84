"""The rollout engine on Kubernetes: the ModelRollout resource and its controller.

``resource`` says what a ModelRollout holds; ``crd``, ``policy`` and ``rbac``
write what the API server is told of it; ``seldon``, ``health`` and ``routing``
are pure readings of Kubernetes objects; the ports around them let the engine
of ``serving.rollout`` move a SeldonDeployment's traffic.
"""
