"""What the demo can be run on: cards, mortgages, or anyone's own file with its contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serinus.contract import load_contract
from serinus.documents import UnreadableError, read_yaml
from serinus.errors import SerinusError

# models/ lies beside the packages in a checkout; an installed copy carries it too.
MODELS = Path(__file__).parents[3] / "models"


@dataclass(frozen=True)
class Case:
    """One use case.

    ``data`` is the reader's own file, or None where ``generate`` (arguments of
    ``python -m components.datasets``) makes it. ``first`` is a config whose model
    the gates must stop, shown before ``config``, whose model passes.
    """

    name: str
    contract: Path
    config: Path | None
    data: Path | None = None
    generate: tuple[str, ...] = ()
    first: Path | None = None


def find_case(name: str, *, data: Path | None, contract: Path | None, config: Path | None, seed: int) -> Case:
    """The case by its name, or of the reader's own files.

    Raises:
        SerinusError: ``SRN-DEMO-002`` if data or contract is given without the other.
    """
    if (data is None) != (contract is None):
        given, absent = ("--data", "--contract") if data is not None else ("--contract", "--data")
        raise SerinusError(
            "SRN-DEMO-002",
            f"{given} is given without {absent}",
            hint="Give both: serinus demo --data FILE.csv --contract CONTRACT.yaml (docs/contract.md).",
        )
    if data is not None and contract is not None:
        return Case(name="own", contract=contract, config=config, data=data)
    if name == "credit":
        folder = MODELS / "credit"
        return Case(
            name="credit",
            contract=folder / "contract.yaml",
            config=config or folder / "model-mitigated.yaml",
            generate=("credit",),
            first=folder / "model.yaml",
        )
    folder = MODELS / "fraud"
    return Case(
        name="fraud",
        contract=folder / "contract.yaml",
        config=config or folder / "model.yaml",
        generate=(
            "fraud",
            "--seed",
            str(seed),
            "--days",
            "150",
            "--customers",
            "1000",
            "--terminals",
            "2000",
        ),
    )


def check_files(case: Case) -> None:
    """Whether the files that a case names can be read; what the data hold is ingest's to say.

    Raises:
        SerinusError: ``SRN-CONTRACT-001`` and on for the contract, ``SRN-DATA-001`` for
            the data, ``SRN-DEMO-005`` for the training config.
    """
    load_contract(case.contract)
    if case.data is not None and not case.data.exists():
        raise SerinusError(
            "SRN-DATA-001", "no such file", where=str(case.data), hint="Check the path of the data file."
        )
    read_config(case.config)


def read_config(path: Path | None) -> dict[str, Any]:
    """A training config as a mapping; empty where the defaults hold.

    Raises:
        SerinusError: ``SRN-DEMO-005`` if it cannot be read or is no mapping. Its keys are
            the pipeline's to check.
    """
    if path is None:
        return {}
    try:
        document = read_yaml(path)
    except UnreadableError as error:
        raise _no_config(error.where, f"the training config {error.what}") from error
    if not isinstance(document, dict):
        raise _no_config(str(path), "the training config is not a mapping of keys to values")
    return {str(key): value for key, value in document.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _no_config(where: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-DEMO-005",
        what,
        where=where,
        hint="Give a YAML file as docs/pipeline.md describes it, or leave --config out: the defaults fit most data.",
    )
