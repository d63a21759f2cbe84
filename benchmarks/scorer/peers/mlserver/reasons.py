# ruff: noqa: D101, D102
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false
"""An MLServer custom runtime that adds TreeSHAP to what its own runtimes answer."""

from __future__ import annotations

from typing import Any

from fraud_model import from_environment
from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec, NumpyRequestCodec


class Reasons(MLModel):
    async def load(self) -> bool:
        self._fraud = from_environment()
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        x: Any = self.decode_request(payload, default_codec=NumpyRequestCodec)
        return types.InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[
                NumpyCodec.encode_output(name="predict", payload=self._fraud.score(x)),
                NumpyCodec.encode_output(name="contributions", payload=self._fraud.reasons(x)),
            ],
        )
