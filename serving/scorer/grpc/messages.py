"""The messages of ``protos/*.proto``, in a descriptor pool of their own.

Protobuf's default pool knows one definition of a name per process, and
``tritonclient`` and ``seldon-core`` each bring theirs of the same messages.
Here the compiled descriptors (``make protos`` writes them) go into a pool that
nobody else sees: no clash, and no generated code that is tied to one release of
protobuf.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DESCRIPTORS = Path(__file__).parent / "protos" / "descriptors.binpb"

# A message's fields are made from the descriptor, so a type checker cannot know them.
Message = Any


def _load(path: Path) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_pool = _load(DESCRIPTORS)


def message(name: str) -> Message:
    """The class of a message by its full name. Raises KeyError for one that is not in ``protos/``."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(name))


Empty: Message = message("google.protobuf.Empty")

SeldonMessage: Message = message("seldon.protos.SeldonMessage")
SeldonFeedback: Message = message("seldon.protos.Feedback")
SeldonModelMetadata: Message = message("seldon.protos.SeldonModelMetadata")
SeldonModelMetadataRequest: Message = message("seldon.protos.SeldonModelMetadataRequest")
SeldonGraphMetadata: Message = message("seldon.protos.SeldonGraphMetadata")

ModelInferRequest: Message = message("inference.ModelInferRequest")
ModelInferResponse: Message = message("inference.ModelInferResponse")
ModelMetadataRequest: Message = message("inference.ModelMetadataRequest")
ModelMetadataResponse: Message = message("inference.ModelMetadataResponse")
ModelReadyRequest: Message = message("inference.ModelReadyRequest")
ModelReadyResponse: Message = message("inference.ModelReadyResponse")
ServerLiveResponse: Message = message("inference.ServerLiveResponse")
ServerMetadataResponse: Message = message("inference.ServerMetadataResponse")
ServerReadyResponse: Message = message("inference.ServerReadyResponse")

HealthCheckRequest: Message = message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse: Message = message("grpc.health.v1.HealthCheckResponse")
