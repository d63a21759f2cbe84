"""``serinus report``: a version's papers, in the form that their reader wants."""

from __future__ import annotations

import hashlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serinus.bundle import Keyring, open_bundle
from serinus.cli.options import WHICH, HomeOption, Output, OutputOption, print_json
from serinus.errors import SerinusError
from serinus.home import Home, atomic_write, existing_home
from serinus.papers.evidence import Evidence, of_bundle
from serinus.papers.make import ENDINGS, make
from serinus.papers.standing import standing_of
from serinus.registry import Registry


class Kind(StrEnum):
    """Which paper."""

    validation = "validation"
    card = "card"
    fairness = "fairness"


class Form(StrEnum):
    """As what."""

    html = "html"
    pdf = "pdf"
    json = "json"
    text = "text"
    cyclonedx = "cyclonedx"


def report(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL[@VERSION]", help=f"VERSION (default: latest): {WHICH}"),
    ] = None,
    kind: Annotated[
        Kind,
        typer.Option(
            help="validation: fifteen sections, each with evidence, verdict and what is missing; card: a few pages for "
            "everybody; fairness: by group and intersection, under the contract's policy."
        ),
    ] = Kind.validation,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="json: the paper as data, numbers as they were measured; cyclonedx: the card as a bill of materials.",
        ),
    ] = Form.html,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File, or a directory that exists; - for stdout (default: <home>/reports/MODEL-VERSION-KIND.…)."
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="A bundle's directory in the place of a registered version; without approvals and stage."
        ),
    ] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Write a version's validation report, model card or fairness report.

    All of it comes from the bundle (hashes and signature are verified first), the registry and what the run left
    beside it. The same version, at the same stage, gives the same bytes; no clock is read.

    serinus report fraud                                  the latest version's validation report, HTML
    serinus report fraud@champion --format pdf            what answers customers, for the file
    serinus report credit@2 --kind card --format cyclonedx --out credit.cdx.json
    serinus report credit --kind fairness --format json --out - | jq .sections
    """
    installation = existing_home(home)
    evidence = _evidence(installation, model, bundle)
    data = make(evidence, kind.value, form.value)
    if str(out) == "-":
        sys.stdout.buffer.write(data)
        return
    name = f"{evidence.name}-{evidence.version}-{kind.value}.{ENDINGS[form.value]}"
    path = installation.reports / name if out is None else out / name if out.is_dir() else out
    atomic_write(path, data)
    if output is Output.json:
        print_json({"path": str(path), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    else:
        typer.echo(str(path))


def _evidence(home: Home, model: str | None, bundle: Path | None) -> Evidence:
    if (model is None) == (bundle is None):
        raise SerinusError(
            "SRN-PAPER-005",
            "nobody said of which version the paper is to be"
            if model is None
            else "both a model and a bundle are named",
            where="serinus report",
            hint="Name one: serinus report MODEL[@VERSION] (serinus registry list), or --bundle DIRECTORY.",
        )
    if bundle is not None:
        return of_bundle(open_bundle(bundle, trusted=Keyring.load(home.keys)))
    name, _, which = (model or "").partition("@")
    registry = Registry(home)
    version = registry.get(name, which or "latest")
    opened = registry.bundle(version)
    return of_bundle(opened, standing_of(home, registry, version, opened))
