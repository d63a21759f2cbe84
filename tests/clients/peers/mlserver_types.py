# pyright: basic, reportMissingImports=false
"""Run by MLServer's environment: validate documents (on stdin) as its types, and make its own request."""

import json
import sys

from mlserver import types

KINDS = {
    "answer": types.InferenceResponse,
    "error": types.InferenceErrorResponse,
    "model": types.MetadataModelResponse,
    "server": types.MetadataServerResponse,
}
given = json.load(sys.stdin)
found = {}
for name, document in given["documents"].items():
    read = KINDS[name.split()[0]].model_validate(document)
    found[name] = json.loads(read.model_dump_json(exclude_none=True))
request = types.InferenceRequest(
    id="from-mlserver",
    inputs=[types.RequestInput(**tensor) for tensor in given["inputs"]],
    outputs=[types.RequestOutput(name="probability")],
)
found["request"] = json.loads(request.model_dump_json(exclude_none=True))
print(json.dumps(found))
