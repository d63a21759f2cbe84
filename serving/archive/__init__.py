"""The archive of a cluster: decision logs from Kafka and from pods, kept as files below a home."""
