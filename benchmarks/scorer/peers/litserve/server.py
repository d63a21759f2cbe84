# ruff: noqa: D101, D102
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false, reportMissingParameterType=false
"""LitServe as its documentation tunes it: no request tracking, the ZeroMQ queue, quiet logs. ``server.py PORT``."""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve as ls
import numpy as np
from fraud_model import from_environment

_NONCE = os.environ.get("BENCH_NONCE", "")


class Fraud(ls.LitAPI):
    def setup(self, device: str) -> None:
        self.model = from_environment()

    def decode_request(self, request):
        return np.asarray(request["data"]["ndarray"], dtype=np.float64)

    def predict(self, x: Any) -> Any:
        return self.model.answer(x)

    def encode_response(self, output: Any) -> Any:
        output["nonce"] = _NONCE
        return output


if __name__ == "__main__":
    fast = os.environ.get("BENCH_FAST_QUEUE", "1") == "1"
    server = ls.LitServer(Fraud(), accelerator="cpu", workers_per_device=1, fast_queue=fast)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        api_server_worker_type=os.environ.get("BENCH_API_SERVER", "process"),
        log_level="error",
        generate_client_file=False,
        access_log=False,
    )
