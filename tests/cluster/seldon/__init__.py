"""A small stand-in for Seldon Core's operator, for tests only.

The real operator comes as a container image, which a test machine may be unable
to fetch. This one makes the same objects, in the same order, with the same
quirks, as far as rollouts can see them; ``recorded/`` holds what the real one
made of one SeldonDeployment in nine states, and ``test_recorded.py`` holds the
two equal. Written from the recordings and Seldon's documentation, without its code.

What it refuses (state ``Failed``, with the reason as description): pre-packaged
servers and ``modelUri`` (no storage initialiser), explainers, KEDA, an executor in
a pod of its own, and ingress other than Istio's.
"""
