"""The image that every component runs in on a KFP server."""

from __future__ import annotations

IMAGE = "serinus/pipeline:0.1.0"
"""A name only: ``serinus pipeline compile --image`` puts the image by digest in its place."""
