"""A Kubeflow Pipelines server through its REST API (v2beta1).

Plain HTTP: whoever starts a run need not carry the KFP SDK and its pinned libraries.
"""

from serinus.kfp.client import DONE, KfpClient, KfpError, Stopped
from serinus.kfp.parameters import read_parameters
from serinus.kfp.server import Answer, HttpServer, MemoryServer, Server

__all__ = [
    "DONE",
    "Answer",
    "HttpServer",
    "KfpClient",
    "KfpError",
    "MemoryServer",
    "Server",
    "Stopped",
    "read_parameters",
]
