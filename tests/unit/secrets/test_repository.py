"""No secret is in the repository, in what images are built from, or in charts and manifests."""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector",
    "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
"""Those that know a form. Entropy would find every digest, and a keyword every variable."""
MADE_UP = ("tests/", "charts/serinus-model/tests/", "uv.lock")
"""Where secrets are planted to be found; and digests."""


def scan(root: Path, files: list[str]) -> dict[str, list[str]]:
    """What detect-secrets finds, by file: the kinds of secrets."""
    settings = {"version": "1.5.0", "plugins_used": [{"name": name} for name in PLUGINS], "filters_used": []}
    program = (
        "import json, sys\n"
        "from detect_secrets import SecretsCollection\n"
        "from detect_secrets.settings import transient_settings\n"
        "given = json.load(sys.stdin)\n"
        "found = SecretsCollection(root=given['root'])\n"
        "with transient_settings(given['settings']):\n"
        "    for name in given['files']:\n"
        "        found.scan_file(name)\n"
        "print(json.dumps({n: sorted({s.type for s in found[n]}) for n in found.files}))\n"
    )
    given = json.dumps({"root": str(root), "files": files, "settings": settings})
    done = subprocess.run(
        [sys.executable, "-c", program], input=given, cwd=root, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_the_repository_holds_none() -> None:
    files = [
        name for name in tracked() if not name.startswith(MADE_UP) and not name.endswith((".png", ".binpb"))
    ]
    assert len(files) > 500
    found = scan(ROOT, files)
    found.pop("docs/errors/watching.md", None)  # shows the form of a URL with a password
    found.pop("serinus/masking.py", None)  # knows the form of a private key
    assert found == {}


def test_a_planted_secret_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('KEY = "AKIA' + 'IOSFODNN7EXAMPLA"\n')
    (tmp_path / "b.yaml").write_text("url: redis://ann:hunter22" + "@cache:6379/0\n")
    (tmp_path / "c.pem").write_text("-----BEGIN PRIVATE " + "KEY-----\nMC4C\n")
    (tmp_path / "d.md").write_text("nothing\n")
    found = scan(tmp_path, ["a.py", "b.yaml", "c.pem", "d.md"])
    assert found == {
        "a.py": ["AWS Access Key"],
        "b.yaml": ["Basic Auth Credentials"],
        "c.pem": ["Private Key"],
    }


def test_charts_and_manifests_hold_no_secret_and_no_value_of_one() -> None:
    for path in sorted(
        [*(ROOT / "manifests").rglob("*.yaml"), *(ROOT / "pipelines" / "compiled").glob("*.yaml")]
    ):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if not isinstance(document, dict):
                continue
            assert document.get("kind") != "Secret", path
            for name, value in environment(document):
                secret = any(word in name.upper() for word in ("PASSWORD", "SECRET", "TOKEN", "ACCESS_KEY"))
                assert not secret or value in (None, "") or name.endswith("_FILE"), (path, name)
    for path in (ROOT / "charts").rglob("templates/**/*.yaml"):
        assert "kind: Secret\n" not in path.read_text(encoding="utf-8"), path


def environment(node: object) -> list[tuple[str, object]]:
    """Every ``{name, value}`` of every ``env`` list."""
    found: list[tuple[str, object]] = []
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "env" and isinstance(value, list):
                found += [(item["name"], item.get("value")) for item in value if isinstance(item, dict)]
            found += environment(value)
    elif isinstance(node, list):
        for item in node:
            found += environment(item)
    return found


def context(files: list[str]) -> list[str]:
    """Those that ``docker build`` would send, by .dockerignore: the last pattern that fits decides."""
    rules: list[tuple[bool, str]] = []
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            rules.append((line.startswith("!"), line.removeprefix("!").strip()))

    def fits(name: str, pattern: str) -> bool:
        """Docker's: a pattern fits a path or one of its parents; ** stands for any number of directories."""
        parts = name.split("/")
        parents = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        if pattern.startswith("**/"):
            return any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
        return any(
            fnmatch.fnmatchcase(parent, pattern) and parent.count("/") == pattern.count("/")
            for parent in parents
        )

    def sent(name: str) -> bool:
        kept = True
        for back, pattern in rules:
            if fits(name, pattern):
                kept = back
        return kept

    return [name for name in files if sent(name)]


def test_images_are_built_from_sources_alone() -> None:
    left = [
        ".env", "serinus/.env", "serving/scorer/.env.local", ".git/config", ".serinus/keys/signing.pem",
        "serinus/keys/signing.pem", "serving/tls.key", "components/server.crt", "serinus/privacy/keys.db",
        "pipelines/registry.sqlite", "serving/decisions/fraud-champion.jsonl", "serinus/x.log", "tests/unit/a.py",
        "data/loans.csv", "docker/.aws/credentials",
    ]  # fmt: skip
    assert context(left) == []


def test_and_all_of_the_sources_are_there() -> None:
    wanted = [
        name for name in tracked()
        if name.split("/")[0] in ("serinus", "components", "pipelines", "serving", "docker", "requirements")
    ]  # fmt: skip
    assert context(wanted) == wanted
    assert context(["pyproject.toml", "uv.lock"]) == ["pyproject.toml", "uv.lock"]


def test_the_master_key_wraps_it_does_not_print() -> None:
    """A key's object says nothing of the key."""
    from serinus.privacy import MasterKey, SubjectKey

    master, subject = MasterKey(b"k" * 32), SubjectKey("ab" * 16, b"s" * 32)
    for thing in (master, subject):
        assert "kkk" not in repr(thing)
        assert "sss" not in repr(thing)
        assert "6b6b" not in str(vars(thing) if hasattr(thing, "__dict__") else thing)
