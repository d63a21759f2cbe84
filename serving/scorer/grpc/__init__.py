"""The scorer's gRPC face: Seldon V1, Open Inference V2 and health checks on a port of their own."""
