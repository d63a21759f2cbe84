"""The auditor's archive, verified as an auditor would: by openssl, sha256sum and a shell."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.audit import AuditLog
from serinus.bundle import SigningKey
from serinus.cli import main
from serinus.events import Decision, DecisionEvent, DecisionLog
from serinus.home import Home
from serinus.registry import Registry
from tests.support.bundles import small_bundle, small_home

JULY, OCTOBER = 1_782_900_000.0, 1_791_000_000.0  # 2026-07-01, 2026-10-03


def decision(day: str, number: int, model: str = "small") -> DecisionEvent:
    return DecisionEvent(
        id=f"{model}-{day}-{number}",
        source=f"/models/{model}/predictors/champion",
        time=f"{day}T10:00:00.000000Z",
        data=Decision(
            model=model,
            version=1,
            digest="sha256:0",
            predictor="champion",
            score=0.9,
            probability=0.8,
            decision="decline",
            features=(1.0, None),
        ),
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Two models' logs over half a year; the actions of both in one audit log."""
    home = small_home(tmp_path)
    registry = Registry(home, clock=lambda: JULY)
    registry.register(small_bundle(tmp_path), by="ann", owner="cards", run="run-1")
    AuditLog(home.audit, clock=lambda: JULY).append(actor="zoe", action="secret", subject="other/4")
    registry.approve("small", 1, by="bob", role="validator", reason="read 100 % of the 'report'")
    AuditLog(home.audit, clock=lambda: OCTOBER).append(actor="ann", action="later", subject="small/1")
    with DecisionLog(home.decisions / "small-champion.jsonl", rotate_bytes=3000) as log:
        for day in ("2026-06-30", "2026-07-01", "2026-08-15", "2026-09-30", "2026-10-01"):
            log.extend([decision(day, n) for n in range(3)])
    with DecisionLog(home.decisions / "other-champion.jsonl") as log:
        log.extend([decision("2026-08-01", 1, "other")])
    assert main(["audit", "checkpoint", "--home", str(home.root)]) == 0
    return home


def export(home: Home, out: Path, *arguments: str) -> int:
    return main(["audit", "export", "--out", str(out), "--home", str(home.root), "--as", "eva", *arguments])


def unpack(home: Home, tmp_path: Path, *arguments: str, name: str = "archive") -> Path:
    """An archive, made and unpacked."""
    out = tmp_path / f"{name}.tar.gz"
    assert export(home, out, *arguments) == 0
    with tarfile.open(out) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / name


@pytest.fixture
def archive(home: Home, tmp_path: Path) -> Path:
    """The third quarter of ``small``, unpacked."""
    return unpack(home, tmp_path, "--for", "2026-Q3", "--model", "small", name="q3")


def verify(archive: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", "verify.sh", *arguments], cwd=archive, capture_output=True, text=True, timeout=240, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [(), ("--chain",)])
def test_an_auditor_verifies_it_without_serinus(archive: Path, arguments: tuple[str, ...]) -> None:
    code, printed = verify(archive, *arguments)
    assert (code, "Sound." in printed, "FALSE" in printed) == (0, True, False), printed


def test_it_holds_the_period_and_the_model_and_no_word_of_another(archive: Path) -> None:
    shown = (archive / "logs" / "decisions.small-champion.jsonl").read_text().splitlines()
    days = [json.loads(line)["body"]["time"][:10] for line in shown]
    assert days == [day for day in ("2026-07-01", "2026-08-15", "2026-09-30") for _ in range(3)]
    actions = [json.loads(line) for line in (archive / "logs" / "audit.audit.jsonl").read_text().splitlines()]
    assert [entry.get("body", {}).get("action") for entry in actions] == [
        "register",
        None,
        "approve",
        "stage",
    ]
    everything = b"".join(path.read_bytes() for path in archive.rglob("*") if path.is_file())
    assert b"secret" not in everything
    assert b"zoe" not in everything
    index = json.loads((archive / "index.json").read_text())
    assert [(log["log"], log["shown"], log["left_out"]) for log in index["logs"]] == [
        ("audit.audit.jsonl", 3, 1),
        ("decisions.small-champion.jsonl", 9, 0),
    ]
    assert [Path(log).name for log in index["without_entries"]] == ["other-champion.jsonl"]
    assert index["by"] == "eva"
    papers = archive / "versions" / "small-1"
    assert {"manifest.json", "card.html", "validation.json", "provenance.json"} <= {
        p.name for p in papers.iterdir()
    }
    assert json.loads((papers / "registry.json").read_text())["approvals"][0]["by"] == "bob"


CHECKPOINT = "the hash of a checkpoint that the archive holds"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def seal(archive: Path) -> None:
    """What a forger without the key can do: hash everything anew."""
    names = sorted(p for p in archive.rglob("*") if p.is_file() and not p.name.startswith("SHA256SUMS"))
    sums = subprocess.run(
        ["sha256sum", *[str(p.relative_to(archive)) for p in names]],
        cwd=archive, capture_output=True, check=True, timeout=240,
    )  # fmt: skip
    (archive / "SHA256SUMS").write_bytes(sums.stdout)


LOG = "logs/decisions.small-champion.jsonl"
FORGERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a decision edited": (lambda a: edit(a / LOG, '"decline"', '"approve"'), "a file was changed"),
    "an entry removed": (
        lambda a: (a / LOG).write_text("".join((a / LOG).read_text().splitlines(keepends=True)[1:])),
        "a file was changed",
    ),
    "a paper edited": (
        lambda a: edit(a / "versions/small-1/card.html", "small", "great"),
        "a file was changed",
    ),
    "all hashed anew": (
        lambda a: (edit(a / LOG, '"decline"', '"approve"'), seal(a))[1],
        "SHA256SUMS.sig does not fit",
    ),
    "another digest": (
        lambda a: (edit(a / "versions/small-1/digest", "sha256:", "sha256:0"), seal(a))[1],
        "does not fit",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_every_forgery_is_found(archive: Path, forgery: str) -> None:
    harm, said = FORGERIES[forgery]
    harm(archive)
    code, printed = verify(archive)
    assert code != 0
    assert "FALSE" in printed
    assert said in printed


def test_the_chain_is_followed_even_where_the_signature_is_not_at_stake(archive: Path) -> None:
    """The shell's own chain check finds an edit, a removal and a swap, not only the sums."""
    script = (archive / "verify.sh").read_text()
    (archive / "verify.sh").write_text(
        "\n".join(
            line
            for line in script.splitlines()
            if not line.startswith(("signed SHA256SUMS", "sha256sum --check"))
        )
    )
    sound = (archive / LOG).read_text()
    lines = sound.splitlines(keepends=True)
    assert verify(archive, "--chain")[0] == 0
    for harmed, said in [
        (sound.replace('"decline"', '"approve"', 1), "was changed"),
        ("".join(lines[:2] + lines[3:]), "does not follow the one before it"),
        ("".join([lines[1], lines[0], *lines[2:]]), "does not follow the one before it"),
    ]:
        (archive / LOG).write_text(harmed)
        code, printed = verify(archive, "--chain")
        assert code != 0
        assert said in printed


def test_checkpoints_inside_the_period_bind_the_log(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "year.tar.gz"
    assert export(home, out, "--for", "2026") == 0
    with tarfile.open(out) as tar:
        tar.extractall(tmp_path, filter="data")
    year = tmp_path / "year"
    assert len(list((year / "checkpoints").rglob("*.txt"))) == 3
    code, printed = verify(year, "--chain")
    assert code == 0, printed


def test_the_export_is_itself_recorded_and_a_second_one_does_not_overwrite(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "q3.tar.gz"
    assert export(home, out, "--for", "2026-Q3", "--model", "small") == 0
    (entry,) = [e for e in Registry(home).audit.entries() if e.action == "audit.export"]
    assert (entry.actor, entry.subject) == ("eva", "small")
    before = out.read_bytes()
    assert export(home, out, "--for", "2026-Q3", "--model", "small") == 1
    assert "SRN-AUDIT-009" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize(("model", "unknown"), [("small", False), ("smal", True)])
def test_a_model_that_is_not_registered_is_told_of(
    model: str, unknown: bool, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(home, tmp_path / "a.tar.gz", "--for", "2026", "--model", model) == 0
    said = "no version of smal is registered here; registered models: small"
    assert (said in capsys.readouterr().err) == unknown


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--for", "1999"], 1, "SRN-AUDIT-009"),
        (["--for", "2026-Q9"], 2, "is no period"),
        (["--for", "2026", "--out", "x.zip"], 2, "ends in .tar.gz"),
    ],
)
def test_what_cannot_be_exported_says_why_and_leaves_nothing(
    arguments: list[str], code: int, said: str, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "a.tar.gz"
    assert export(home, out, *arguments) == code
    assert said in capsys.readouterr().err
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_a_broken_log_is_not_exported(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home.decisions / "small-champion.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"decline"', b'"approve"', 1))
    assert export(home, tmp_path / "a.tar.gz", "--for", "2026") == 1
    assert "SRN-AUDIT-003" in capsys.readouterr().err
    assert not (tmp_path / "a.tar.gz").exists()


def unpacked(home: Home, tmp_path: Path, name: str) -> Path:
    """From the logs' half year on: the keys are changed now, whichever year that is."""
    return unpack(home, tmp_path, "--for", "2026-01-01..2199-12-31", "--model", "small", name=name)


def rotate(home: Home, *arguments: str) -> str:
    """Another key signs, the one before it is retired; its id."""
    old = SigningKey.load(home.keys).id
    place = ["--home", str(home.root)]
    assert main(["keys", "new", *place]) == 0
    assert main(["keys", "retire", old, "--reason", "rotation", *arguments, *place]) == 0
    return old


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"sha256:', '"sha256:0', "versions/small-1/: its key was retired before"),
        ('"audit.jsonl": ', '"audit.jsonl": 0, "x": ', "its key was retired before"),
        (CHECKPOINT, "0" * 64, "its key was retired before"),
    ],
)
def test_what_a_retired_key_had_signed_verifies_and_what_it_had_not_does_not(
    home: Home, tmp_path: Path, old: str, new: str, says: str
) -> None:
    retired = rotate(home)
    archive = unpacked(home, tmp_path, "rotated")
    assert (archive / "versions" / "small-1" / "signer").read_text() == retired
    log = [json.loads(line) for line in (archive / "logs" / "audit.audit.jsonl").read_text().splitlines()]
    actions = [entry["body"]["action"] for entry in log if "body" in entry]
    assert actions[-2:] == ["keys.use", "keys.retire"], "what happened to the keys is every model's business"
    assert verify(archive)[0] == 0
    if old == CHECKPOINT:
        old = hashlib.sha256(next(archive.glob("checkpoints/*/*.txt")).read_bytes()).hexdigest()
    edit(archive / "keys" / f"retired-{retired}.json", old, new)
    seal(archive)
    sums = (archive / "SHA256SUMS").read_text()
    (archive / "SHA256SUMS.sig").write_bytes(bytes.fromhex(SigningKey.load(home.keys).sign(sums).value))
    code, printed = verify(archive)
    assert (code, says in printed) == (1, True), printed


def test_a_version_that_does_not_verify_is_told_of_and_keeps_nothing_else_back(
    home: Home, tmp_path: Path
) -> None:
    rotate(home, "--since", "2020-01-01")
    # Its own checkpoint went with the key: nothing that it signed counts.
    for path in [*home.audit.glob("*.checkpoints"), *home.decisions.glob("*.checkpoints")]:
        path.unlink()
    archive = unpacked(home, tmp_path, "lost")
    assert verify(archive)[0] == 0
    assert not (archive / "versions").exists()
    refused = json.loads((archive / "refused" / "small-1.json").read_text())
    assert (refused["version"]["version"], refused["error"]["code"]) == (1, "SRN-BUNDLE-011")
