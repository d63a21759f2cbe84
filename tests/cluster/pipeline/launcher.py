"""What KFP's launcher does around a component, for pods of the tests; runs in the component's own image.

``python3 launcher.py INPUT.json -- COMMAND…``: artefacts from the store to where the
component looks for them (``s3://bucket/key`` is ``/s3/bucket/key``), the command, its
artefacts to the store, and what the component said of them to ``…/executor_output.json``
beside the first of them. KFP's own launcher is a Go program that also keeps a metadata
server informed.

Its credentials are files in ``/kfp-s3``, not variables: the component must not have them from here.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

CREDENTIALS = Path("/kfp-s3")


def store(bucket: str) -> S3Store:
    read = {path.name: path.read_text() for path in CREDENTIALS.iterdir() if path.is_file()}
    return S3Store(
        bucket,
        endpoint=read["endpoint"],
        access_key_id=read["key"],
        secret_access_key=read["secret"],
        region="us-east-1",
        client_options={"allow_http": True},
    )


def split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def local(uri: str) -> Path:
    return Path("/s3", *split(uri))


def artefacts(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for listed in part.get("artifacts", {}).values() for each in listed["artifacts"]]


def download(uri: str) -> None:
    """An object, or all below it where it is a directory."""
    bucket, key = split(uri)
    client, found = store(bucket), list[str]()
    for batch in obstore.list(client, key):
        found += [each["path"] for each in batch if each["path"] == key or each["path"].startswith(key + "/")]
    try:
        obstore.head(client, key)
        found = sorted({*found, key})
    except FileNotFoundError:
        pass
    if not found:
        sys.exit(f"launcher: there is no {uri}")
    for name in found:
        target = Path("/s3", bucket, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(obstore.get(client, name).bytes())


def upload(uri: str) -> None:
    bucket, key = split(uri)
    client, path = store(bucket), local(uri)
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        name = key if file == path else f"{key}/{file.relative_to(path)}"
        obstore.put(client, name, file)


def main() -> None:
    executor_input = json.loads(Path(sys.argv[1]).read_text())
    command = sys.argv[3:]
    for artefact in artefacts(executor_input["inputs"]):
        download(artefact["uri"])
    outputs = artefacts(executor_input["outputs"])
    for artefact in outputs:
        local(artefact["uri"]).parent.mkdir(parents=True, exist_ok=True)
    told = Path(executor_input["outputs"]["outputFile"])
    told.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command)
    if done.returncode:
        sys.exit(done.returncode)
    for artefact in outputs:
        upload(artefact["uri"])
    bucket, key = split(outputs[0]["uri"].rpartition("/")[0])
    obstore.put(store(bucket), f"{key}/executor_output.json", told.read_bytes() if told.exists() else b"{}")


main()
