"""The Kubernetes API as the cluster's programs use it: a client, our kinds, and a watch that mends itself.

Imported only by programs that talk to an API server: the client library and httpx come with their extras.
"""
