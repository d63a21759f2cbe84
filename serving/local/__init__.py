"""The embedded platform: the same programs as on a cluster, on one machine, behind a real Envoy."""
