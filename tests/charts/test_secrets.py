"""A rendering holds references to secrets and never one: what looks like a password is refused, by its value's name."""

from __future__ import annotations

import pytest
import yaml

from tests.support.leaks import forms

from .support import Obj, model, platform

SECRET = "planted-hunter22"
REFERENCE = "$(CACHE_PASSWORD)"
PLATFORM = [
    ("controller.prometheusUrl=https://ann:{}@prometheus", "/controller/prometheusUrl"),
    ("retrain.kfp.host=http://ann:{}@ml-pipeline:8888", "/retrain/kfp/host"),
    ("retrain.notifyUrl=https://ann:{}@chat.example/x", "/retrain/notifyUrl"),
    ("controller.extraArgs={{--x=redis://:{}@cache}}", "/controller/extraArgs/0"),
    (
        "controller.extraEnv[0].name=HTTP_PASSWORD,controller.extraEnv[0].value={}",
        "/controller/extraEnv/0/value",
    ),
]
MODEL = [
    ("decisions.kafka=kafka://broker:9093/decisions?sasl.password={}", "/decisions/kafka"),
    ("scorer.extraArgs={{--store=redis://:{}@cache:6379/0}}", "/scorer/extraArgs/0"),
    (
        "scorer.extraEnv[0].name=SERINUS_REDIS_PASSWORD,scorer.extraEnv[0].value={}",
        "/scorer/extraEnv/0/value",
    ),
    ("storage.env[0].name=AWS_SECRET_ACCESS_KEY,storage.env[0].value={}", "/storage/env/0/value"),
    ("payloads.url=http://ann:{}@sink/,drift.enabled=false", "/payloads/url"),
    ("keys.public.trusted-1\\.pem=-----BEGIN PRIVATE KEY-----{}", "/keys/public/trusted-1.pem"),
]


@pytest.mark.parametrize(("given", "where"), PLATFORM, ids=lambda value: value.split("=")[0])
def test_the_platform_takes_no_password_but_a_reference(given: str, where: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        platform(given.format(SECRET))
    assert f"at '{where}'" in str(refused.value)
    assert holding(platform(given.format(REFERENCE)), REFERENCE)


@pytest.mark.parametrize(("given", "where"), MODEL, ids=lambda value: value.split("=")[0])
def test_nor_does_a_model(given: str, where: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        model(given.format(SECRET))
    assert f"at '{where}'" in str(refused.value)
    if not where.startswith("/keys"):
        assert holding(model(given.format(REFERENCE)), REFERENCE)


@pytest.mark.parametrize(
    "given",
    [
        "retrain.notifyUrl=https://chat.example:8443/hook/a@b?x=y:z@w",
        "retrain.extraArgs={--kfp-token=/var/run/secrets/kfp/token}",
        "controller.extraEnv[0].name=AWS_ACCESS_KEY_ID,controller.extraEnv[0].value=AKIA",
        "controller.extraEnv[0].name=X_TOKEN_FILE,controller.extraEnv[0].value=/run/secrets/x",
    ],
)
def test_what_is_none_is_taken(given: str) -> None:
    assert holding(platform(given), given.rsplit("=", 1)[1].strip("{}"))


def test_a_secret_comes_by_its_name_alone() -> None:
    objects = model(
        "scorer.extraEnv[0].name=SERINUS_REDIS_PASSWORD",
        "scorer.extraEnv[0].valueFrom.secretKeyRef.name=redis",
        "scorer.extraEnv[0].valueFrom.secretKeyRef.key=password",
    )
    assert holding(objects, "secretKeyRef")
    assert not [found for found in objects if found["kind"] == "Secret"]


def holding(objects: list[Obj], text: str) -> bool:
    """Whether a rendering has it in any form."""
    rendered = yaml.safe_dump_all(objects, width=10_000).encode()
    return any(form in rendered for form in forms(text)) or text.encode() in rendered
