"""Where everything comes from: OpenLineage events of every step, kept as files and sent to any backend."""
