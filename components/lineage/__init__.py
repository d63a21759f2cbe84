"""What a pipeline step says of itself in OpenLineage's words: read off its arguments and its files.

No step calls this: ``components.step.run_step`` does, for every step there is. Nothing here changes
a step's result, so it is no part of what makes a cached result stale (``pipelines.provenance``).
"""

from components.lineage.recorder import METADATA, Recorder, recorder

__all__ = ["METADATA", "Recorder", "recorder"]
