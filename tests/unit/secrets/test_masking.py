"""What is written for people has no secrets in it, and says everything else as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.masking import masked, secrets_in

ROOT = Path(__file__).resolve().parents[3]
HIDDEN = {
    "redis://:pw@h:6379/0": "redis://:***@h:6379/0",
    "redis://ann:p@ss/w:rd@h/0 refused": "redis://ann:***@h/0 refused",
    "postgresql+psycopg2://ann:pw@db/x": "postgresql+psycopg2://ann:***@db/x",
    "https://ghp_0123456789abcdefABCD@github.com/x": "https://***@github.com/x",
    "GET /hook?token=abc&model=m": "GET /hook?token=***&model=m",
    "sasl.password=pw;next": "sasl.password=***;next",
    'api_key: "abc def"': "api_key: ***",
    "{'user': 'ann', 'password': 'p w'}": "{'user': 'ann', 'password': ***}",
    "{'password': b'pw', 'n': 1}": "{'password': ***, 'n': 1}",
    "Basic(password='it\\'s pw', n=1)": "Basic(password=***, n=1)",
    '{"token": "a,b", "n": 1}': '{"token": ***, "n": 1}',
    '{"token":"a\\"b"}': '{"token":***}',
    r'"{\"client_secret\": \"pw\", \"n\": 1}"': r'"{\"client_secret\": ***, \"n\": 1}"',
    "SASL_" * 40 + "PASSWORD=pw": "SASL_" * 40 + "PASSWORD=***",
    "X-Amz-Signature=0a1b": "X-Amz-Signature=***",
    "Authorization: Bearer eyJhbGciOiJI.e30.x": "Authorization: Bearer ***",
    "https://hooks.slack.com/services/T0/B0/x said 404": "https://hooks.slack.com/*** said 404",
    "https://chat.example/api/webhooks/1/abc": "https://chat.example/api/webhooks/***",
    "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\nmore": "*** (a private key)\nmore",
}
SAID = [
    "http://127.0.0.1:9000/api/v1.0/predictions",
    "s3://models/bundles/9f2c",
    "mail ann@bank.example about it",
    "sha256:0123 of fraud v3",
    "ann@example.org may not rollout.start",
    "the key 4901bf715dd300d2 is not trusted here",
    "SRN-KEY-001 keys/signing.pem: not a key",
    "3 tokens, a password is needed",
    "a token bucket",
    '{"secret": {"name": "models-s3"}, "tokens": 3}',
    "{'secretName': 'models-s3', 'tokens': [1, 2]}",
]


@pytest.mark.parametrize(("text", "shown"), HIDDEN.items(), ids=range(len(HIDDEN)))
def test_forms_of_secrets_are_hidden(text: str, shown: str) -> None:
    assert masked(text, {}) == shown


@pytest.mark.parametrize("part", ["a.", "https://a"])
def test_a_long_text_of_others_does_not_hang_a_process(part: str) -> None:
    code = "import sys; from serinus.masking import masked; masked('x: ' + sys.stdin.read(), {})"
    # In the square of its length it took many minutes.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=part * (200_000 // len(part)), text=True, timeout=120
    )
    assert done.returncode == 0


@pytest.mark.parametrize("text", SAID)
def test_everything_else_stays(text: str) -> None:
    assert masked(text, {}) == text


def test_values_of_the_environment_are_hidden_wherever_they_stand() -> None:
    environment = {
        "AWS_SECRET_ACCESS_KEY": "wJalr/XUtn",
        "SERINUS_REDIS_PASSWORD": "hunter22",
        "AWS_ACCESS_KEY_ID": "AKIA-visible",
        "SERINUS_REDIS_PASSWORD_FILE": "/run/secrets/redis",
        "SHORT_TOKEN": "abc",
        "HOME": "/home/ann",
    }
    assert masked("x hunter22y wJalr/XUtn wJalr%2FXUtn", environment) == "x ***y *** ***"
    for kept in ("AKIA-visible", "/run/secrets/redis", "abc", "/home/ann"):
        assert masked(kept, environment) == kept
    assert set(secrets_in(environment)) == {"wJalr/XUtn", "wJalr%2FXUtn", "hunter22"}


@pytest.mark.parametrize(
    "given",
    [["--port", "token=pw-typed"], ["--max-wait", "redis://ann:pw-typed@h"], ["redis://ann:pw-typed@h"]],
)
def test_wrong_flags_of_the_scorer_are_told_without_them(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from serving.scorer.config import parse

    with pytest.raises(SystemExit):
        parse(["--bundle", "b", *given], {})
    said = capsys.readouterr().err
    assert "***" in said
    assert "pw-typed" not in said


def test_an_error_never_holds_one() -> None:
    error = SerinusError("SRN-X-001", "redis://:pw@h is wrong", where="http://a:pw@h", hint="Not token=abc.")
    for text in (str(error), repr(error), repr(error.to_dict()), repr(error.args)):
        assert "pw" not in text
        assert "abc" not in text


LOGGING = """
import logging, sys, threading
from serinus.masking import mask_logs
mask_logs(); mask_logs()
logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
logging.getLogger("httpx").info("HTTP Request: POST https://h/secret-path")
logging.info("to %s", "redis://:pw1@h")
logging.info("wrong %d", "format")
logging.info("wrong %(name)s", {"format": 1})
def fails():
    raise LookupError("redis://:pw5@h")
thread = threading.Thread(target=fails, name="beside")
thread.start()
thread.join()
try:
    raise ValueError("redis://:pw2@h")
except ValueError:
    logging.exception("it failed at %s", "http://a:pw3@h")
raise RuntimeError("redis://:pw4@h")
"""


def test_logs_and_tracebacks_of_a_process_are_masked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], cwd=ROOT, capture_output=True, text=True, check=False
    )
    told = done.stderr
    assert done.returncode == 1
    for number in "12345":
        assert f"pw{number}" not in told
    assert "secret-path" not in told
    assert told.count("***@h") == 5
    assert "Exception in thread beside:\nTraceback" in told
    assert "LookupError: redis://:***@h" in told
    assert "ValueError: redis://:***@h" in told
    assert told.rstrip().endswith("RuntimeError: redis://:***@h")
    assert told.count("to redis") == 1


def test_a_process_that_does_not_mask_tells_them() -> None:
    """The test above can fail."""
    done = subprocess.run(
        [sys.executable, "-c", LOGGING.replace("mask_logs()", "pass")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    for number in "12345":
        assert f"pw{number}" in done.stderr
