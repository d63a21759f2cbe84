# pyright: basic, reportMissingImports=false
"""Run by seldon-core's environment: its SeldonClient against a scorer. Ports on the command line, rows on stdin."""

import json
import sys

import numpy as np
from google.protobuf import json_format
from seldon_core.proto import prediction_pb2
from seldon_core.seldon_client import SeldonClient

http, rpc = (f"127.0.0.1:{port}" for port in sys.argv[1:3])
given = json.load(sys.stdin)
rows = np.array(given["rows"], dtype=object)
found = {}


def answered(name, result):
    """What the client made of an answer: it was understood only if there is a message."""
    response = result.response
    if isinstance(response, prediction_pb2.SeldonMessage):
        response = json_format.MessageToDict(response)
    found[name] = {"success": result.success, "message": str(result.msg), "response": response}


for transport, endpoint in (("rest", http), ("grpc", rpc)):
    direct = SeldonClient(
        microservice_endpoint=endpoint,
        transport=transport,
        payload_type="ndarray",
        client_return_type="proto",
    )
    named = direct.microservice(method="predict", data=rows, names=given["names"], payload_type="ndarray")
    answered(f"microservice {transport}", named)
    answered(f"feedback {transport}", direct.microservice_feedback(named.request, named.response, reward=1.0))
    answered(f"json {transport}", direct.microservice(method="predict", json_data={"rows": given["records"]}))
    wrong = rows.copy()
    wrong[0][0] = "a"
    answered(f"bad {transport}", direct.microservice(method="predict", data=wrong, payload_type="ndarray"))
    gateway = SeldonClient(
        gateway="istio", gateway_endpoint=endpoint, transport=transport,
        deployment_name="shop", namespace="bank", client_return_type="dict",
    )  # fmt: skip
    answered(
        f"gateway {transport}",
        gateway.predict(
            data=rows,
            payload_type="ndarray",
            gateway_prefix="",
            headers={"seldon-puid": f"gateway-{transport}"},
        ),
    )
print(json.dumps(found))
