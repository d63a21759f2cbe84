"""``serinus bundle``: verify, push, pull."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serinus.bundle import Keyring, fetch_bundle, open_bundle, push_bundle
from serinus.cli.options import HomeOption, Output, OutputOption, group, print_json
from serinus.durations import parse_duration
from serinus.home import existing_home
from serinus.storage import Budget, open_store

_LARGEST = 2 << 30

KeysOption = Annotated[
    Path | None,
    typer.Option(help="Trusted public keys, trusted-*.pem (default: $SERINUS_KEYS or <home>/keys).",
                 envvar="SERINUS_KEYS", show_envvar=False),
]  # fmt: skip


def bundle_app() -> typer.Typer:
    """The commands."""
    app = group("The immutable model artefact.")
    app.command()(verify)
    app.command()(push)
    app.command()(pull)
    return app


def verify(
    path: Annotated[Path, typer.Argument(help="The bundle's directory; `serinus registry list` names it.")],
    home: HomeOption = None,
    keys: KeysOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Check every file's hash and the signature of the bundle in PATH. Exit code 1 where one is not right."""
    bundle = open_bundle(path, trusted=Keyring.load(keys or existing_home(home).keys))
    if output is Output.json:
        files = len(bundle.manifest.files)
        print_json({"name": bundle.name, "version": bundle.version, "digest": bundle.digest, "files": files})
        return
    what = f"{bundle.name} v{bundle.version}"
    typer.echo(f"{what}: {len(bundle.manifest.files)} files, signature sound, {bundle.digest}")


def push(
    path: Annotated[Path, typer.Argument(help="The bundle's directory; `serinus registry list` names it.")],
    to: Annotated[str, typer.Option(help="Where bundles are kept: s3://bucket/path or file:///path.")],
    home: HomeOption = None,
    keys: KeysOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Put the bundle in PATH under its digest where clusters fetch it from.

    It is verified first. Pushing it again changes nothing. S3 is configured by
    the usual AWS_* variables. What is printed is what a pod is given as
    SERINUS_BUNDLE_URI and SERINUS_BUNDLE_DIGEST.

    Example: serinus bundle push .serinus/bundles/fraud-1-9f2c… --to s3://models/bundles
    """
    bundle = open_bundle(path, trusted=Keyring.load(keys or existing_home(home).keys))
    pushed = push_bundle(bundle, open_store(to))
    if output is Output.json:
        print_json({"uri": pushed.uri, "digest": pushed.digest, "created": pushed.created})
        return
    typer.echo(f"{pushed.uri}  {pushed.digest}  ({'pushed' if pushed.created else 'it was there already'})")


def pull(
    uri: Annotated[str, typer.Argument(help="The bundle's own directory, as push printed it.")],
    to: Annotated[Path, typer.Option(help="Empty directory to write it to.")],
    digest: Annotated[
        str | None,
        typer.Option(help="sha256:… that it must have (default: any, if signed by a trusted key)."),
    ] = None,
    timeout: Annotated[str, typer.Option(help="For all of it, retries included.")] = "5m",
    home: HomeOption = None,
    keys: KeysOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Bring a bundle here, and verify its digest and its signature.

    What was interrupted is taken up by the next try.
    """
    try:
        seconds = parse_duration(timeout)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error
    trusted = Keyring.load_some(keys or existing_home(home).keys)
    found = fetch_bundle(
        open_store(uri), to.absolute(), trusted=trusted, digest=digest, budget=Budget(seconds, _LARGEST)
    )
    if output is Output.json:
        print_json(
            {"name": found.bundle.name, "version": found.bundle.version, "digest": found.bundle.digest,
             "path": str(found.bundle.path), "received": found.received}
        )  # fmt: skip
        return
    typer.echo(f"{found.bundle.name} v{found.bundle.version}  {found.bundle.digest}  {found.bundle.path}")
