"""Reading a contract: YAML to a checked ``Contract``, or an error with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from serinus.contract.checks import problems
from serinus.contract.types import Contract
from serinus.documents import UnreadableError, read_yaml
from serinus.errors import SerinusError


def load_contract(path: str | Path) -> Contract:
    """Read and check the contract in a YAML file.

    Raises:
        SerinusError: ``SRN-CONTRACT-001`` the file cannot be read;
            ``-002`` it is not YAML; ``-004`` a key is missing, misspelt or of
            the wrong type; ``-005`` it contradicts itself (all contradictions
            are named at once).
    """
    path = Path(path)
    try:
        data = read_yaml(path)
    except UnreadableError as error:
        raise SerinusError(
            "SRN-CONTRACT-002" if error.parsed else "SRN-CONTRACT-001",
            f"the contract {error.what}",
            where=error.where,
            hint=error.hint(
                "Give the path of a contract YAML file; models/fraud/contract.yaml is an example."
            ),
        ) from error
    return parse_contract(data, where=str(path))


def parse_contract(data: Any, *, where: str) -> Contract:
    """Check already parsed YAML or JSON. Raises as ``load_contract``, codes 004 and 005."""
    try:
        contract = msgspec.convert(data, Contract)
    except msgspec.ValidationError as error:
        raise SerinusError(
            "SRN-CONTRACT-004",
            f"not a data contract: {error}",
            where=where,
            hint="Compare that key with docs/contract.md, which lists every key and its type.",
        ) from error
    found = problems(contract)
    if found:
        raise SerinusError(
            "SRN-CONTRACT-005",
            "; ".join(found),
            where=where,
            hint="Mend each of these in the contract; docs/contract.md explains the rules.",
        )
    return contract


def dump_contract(contract: Contract) -> dict[str, Any]:
    """The contract as plain JSON values; ``parse_contract`` reads it back equal."""
    return msgspec.to_builtins(contract)
