"""No secret and no private key is in an image: every byte of every layer, and the configuration with its history."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serinus.masking import secrets_in
from tests.cluster import node
from tests.cluster.conftest import missing
from tests.cluster.images import BUILD_SECRET, OURS, SURROUNDINGS
from tests.support.layers import Found, Image, search

SECRETS = {"the build's environment": BUILD_SECRET}
# Keys that libraries check themselves by at their start, compiled in and published with them.
SELF_TESTS = ("libgnutls.so.30", "librdkafka-")
BASE = "FROM docker.io/library/python:3.12-slim\n"


def known(found: Found) -> bool:
    """Whether a library is named that brings such a key."""
    return found.what == "a private key" and Path(found.where).name.startswith(SELF_TESTS)


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Layers that were read: the images have their bases in common."""
    return set()


@pytest.fixture(autouse=True)
def tools() -> None:
    if shutil.which("buildah") is None or node.script() is None:
        missing("no buildah whose store has the images (SERINUS_CLUSTER)")


@pytest.mark.parametrize("name", OURS)
def test_an_image_holds_none(name: str, seen: set[str], tmp_path: Path) -> None:
    image = Image(node.image(name), tmp_path)
    assert [found for found in search(image, SECRETS, seen) if not known(found)] == []
    assert secrets_in(image.environment()) == (), "nor a variable that is named like one"
    image.remove()


Build = Callable[[Path, str], Image]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Builds an image from a context and a Dockerfile that lies outside of it, with secrets in the environment."""
    name = f"localhost/serinus-tests/secrets:{os.getpid()}"

    def make(context: Path, dockerfile: str) -> Image:
        file = tmp_path / "Dockerfile"
        file.write_text(dockerfile)
        command = [str(node.script()), "build-image", "-q", "-t", name, "-f", str(file), str(context)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | SURROUNDINGS)
        return Image(name, tmp_path)

    yield make
    subprocess.run(["buildah", "rmi", name], check=False, capture_output=True)
    (tmp_path / "image.tar").unlink(missing_ok=True)


PLACES = (
    ".env", ".git/config", ".serinus/platform/state.json", "keys/notes.txt", "data/loans.csv", "serinus/.env",
    "serving/tls.key", "components/server.crt", "docker/.aws/credentials", "pipelines/decisions/fraud.jsonl",
    "serinus/registry.sqlite", "serving/scorer/run.log",
)  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A checkout in which somebody worked, and the secrets that stand around in it, by their place."""
    root = tmp_path / "checkout"
    for name in ("serinus", "docker", "requirements"):
        shutil.copytree(node.ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in (".dockerignore", "pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copy(node.ROOT / name, root)
    secrets = {place: f"planted/{number}-in-the-checkout" for number, place in enumerate(PLACES)}
    for place, secret in secrets.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(f"url = https://x-access-token:{secret}@github.example/bank/serinus\n")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = Ed25519PrivateKey.generate().private_bytes(*form).decode()
    for place in (".serinus/keys/signing.pem", "keys/signing.pem", "serinus/keys/signing.pem"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(pem)
        secrets[place] = pem.splitlines()[1]
    return root, secrets


ALL_OF_IT = f"{BASE}COPY . /context\nRUN env >/environment\n"


def test_nothing_that_lies_around_a_build_gets_into_it(
    build: Build, checkout: tuple[Path, dict[str, str]]
) -> None:
    root, secrets = checkout
    image = build(root, ALL_OF_IT)
    files = {path for path, _ in image.files()}
    assert {"context/pyproject.toml", "context/serinus/masking.py", "environment"} <= files
    assert [found for found in search(image, SECRETS | secrets) if not known(found)] == []


def test_and_without_the_list_of_what_may_be_sent_all_of_it_is_found(
    build: Build, checkout: tuple[Path, dict[str, str]]
) -> None:
    root, secrets = checkout
    (root / ".dockerignore").unlink()
    found = search(build(root, ALL_OF_IT), secrets)
    assert {one.what for one in found} >= secrets.keys()
    assert Found("context/serinus/keys/signing.pem", "a private key") in found
    assert Found("context/docker/.aws/credentials", "a file of secrets by its name") in found


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (f"ENV REDIS_URL=redis://:{BUILD_SECRET}@cache\n", "config"),
        (f"LABEL built.with={BUILD_SECRET}\n", "config"),
        (f"ARG TOKEN={BUILD_SECRET}\nRUN true $TOKEN\n", "config"),
        # A later layer hides it and does not take it away.
        (f"RUN echo {BUILD_SECRET} | gzip >/opt/x.gz\nRUN rm /opt/x.gz\n", "opt/x.gz!gz"),
    ],
    ids=["a variable", "a label", "an argument in the history", "a file that is deleted again"],
)  # fmt: skip
def test_a_planted_leak_is_found(build: Build, tmp_path: Path, lines: str, where: str) -> None:
    (tmp_path / "empty").mkdir()
    found = search(build(tmp_path / "empty", BASE + lines), SECRETS)
    assert Found(where, "the build's environment") in found
