"""The image that every component runs in on a KFP server."""

from __future__ import annotations

import os

IMAGE = os.environ.get("SERINUS_PIPELINE_IMAGE", "serinus/pipeline:0.1.0")
"""Set ``SERINUS_PIPELINE_IMAGE`` to an image by digest when compiling for a cluster."""
