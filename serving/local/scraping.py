"""What a Prometheus beside the embedded platform scrapes: every program that runs, by its own name."""

from __future__ import annotations

from urllib.parse import urlsplit

from .monitoring import Target
from .platform import Platform


def targets(platform: Platform) -> list[Target]:
    """The pages of this moment: ask again, since scorers come and go with rollouts."""
    found = [Target("platform", platform.page.address)]
    found += [Target(sidecar.name, urlsplit(sidecar.url).netloc) for sidecar in platform.sidecars()]
    found.append(Target("envoy", urlsplit(platform.admin_url).netloc, "/stats/prometheus"))
    for name in platform.predictors.processes():
        found += [
            Target("scorer", urlsplit(url).netloc, urlsplit(url).path)
            for source, url in platform.predictors.sources(name).items()
            if source.startswith(f"{name}-")
        ]
    return found
