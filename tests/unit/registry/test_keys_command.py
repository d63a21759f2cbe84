"""``serinus keys``, and what it exports verified by openssl."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.registry.rotation import export_keys, keys_of
from tests.unit.registry.bank import Bank


def test_from_the_command_line(bank: Bank, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    home = ["--home", str(bank.home.root)]
    bundle = bank.build(1)
    old = bank.signing()
    assert main(["keys", "new", "--standby", "--owner", "mlops", "--until", "2999-01-01", *home]) == 0
    assert "stands by" in capsys.readouterr().out
    assert main(["keys", "list", "-o", "json", *home]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(k["state"], k["signed"], k["owner"]) for k in found] == [
        ("signing", 1, ""),
        ("standby", 0, "mlops"),
    ]
    assert main(["keys", "new", "--until", "2020-01-01", *home]) == 2
    assert "past" in capsys.readouterr().err
    assert (bank.signing(), len(keys_of(bank.registry, bank.home))) == (old, 2), "nothing was made"
    assert main(["keys", "use", found[1]["id"], *home]) == 0
    assert main(["keys", "retire", old, *home, "--reason", "rotation"]) == 0
    assert "counts for 1 bundle" in capsys.readouterr().out
    assert main(["keys", "export", str(tmp_path / "pod"), *home]) == 0
    assert main(["bundle", "verify", str(bundle.path), "--keys", str(tmp_path / "pod")]) == 0
    assert main(["keys", "list", *home]) == 0
    assert "retired" in capsys.readouterr().out
    assert main(["keys", "retire", found[1]["id"], "--reason", "x", *home]) == 1
    assert main(["keys", "retire", old, "--reason", "x", "--keep", "abc", *home]) == 2
    assert main(["keys", "trust", str(bank.home.keys / "signing.pem"), *home]) == 1
    assert "SRN-KEY-001" in capsys.readouterr().err


def test_openssl_verifies_a_bundle_by_the_exported_files(bank: Bank, tmp_path: Path) -> None:
    bundle = bank.build(1)
    export_keys(bank.home, tmp_path / "pod")
    signature = json.loads((bundle.path / "signature.json").read_text())
    (tmp_path / "digest").write_text(bundle.digest)
    (tmp_path / "sig").write_bytes(bytes.fromhex(signature["value"]))
    pem = tmp_path / "pod" / f"trusted-{signature['key_id']}.pem"
    subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", tmp_path / "digest",
         "-sigfile", tmp_path / "sig"],
        check=True, capture_output=True, timeout=240,
    )  # fmt: skip
