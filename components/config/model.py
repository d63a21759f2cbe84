"""``model.yaml`` as a whole, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from components.config.challenge import Challenge, Champion, Gates, Latency
from components.config.strict import Strict
from components.config.training import Split, Training
from serinus.documents import UnreadableError, read_yaml
from serinus.durations import parse_duration
from serinus.errors import SerinusError


class Identity(Strict, frozen=True):
    """What model-risk staff ask first. ``tier`` 1 is the most material."""

    name: str = ""
    owner: str = ""
    purpose: str = ""
    tier: Annotated[int, Meta(ge=1, le=4)] = 3
    limits: tuple[str, ...] = ()


class ModelConfig(Identity, frozen=True):
    """The whole of ``model.yaml``. ``name`` defaults to the contract's."""

    apiVersion: Literal["serinus.io/v1"] = "serinus.io/v1"  # noqa: N815  the Kubernetes spelling
    kind: Literal["ModelConfig"] = "ModelConfig"
    split: Split = Split()
    training: Training = Training()
    gates: Gates = Gates()
    challenge: Challenge = Challenge()
    champion: Champion = Champion()
    latency: Latency = Latency()

    def identity(self) -> Identity:
        """Only the fields that say what the model is."""
        return Identity(**{name: getattr(self, name) for name in Identity.__struct_fields__})


def load_config(path: str | Path | None) -> ModelConfig:
    """Read and check ``model.yaml``; None gives the defaults.

    Raises:
        SerinusError: ``SRN-PIPELINE-020`` it cannot be read or is not YAML;
            ``-021`` a key is misspelt, out of range or of the wrong type;
            ``-022`` it contradicts itself.
    """
    if path is None:
        return ModelConfig()
    try:
        data = read_yaml(Path(path))
    except UnreadableError as error:
        raise SerinusError(
            "SRN-PIPELINE-020",
            f"the training config {error.what}",
            where=error.where,
            hint="Give the path of a YAML file, or leave --config out to train with the defaults.",
        ) from error
    return parse_config(data if data is not None else {}, ModelConfig, where=str(path))


def parse_config[T](data: Any, kind: type[T], *, where: str) -> T:
    """Check parsed YAML, or the JSON text of one part, as a config. Raises as ``load_config``."""
    try:
        config = (
            msgspec.json.decode(data, type=kind)
            if isinstance(data, str | bytes)
            else msgspec.convert(data, kind)
        )
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise SerinusError(
            "SRN-PIPELINE-021",
            f"not a training config: {error}",
            where=where,
            hint="Compare that key with docs/pipeline.md, which lists every key with its default.",
        ) from error
    parts = (config, *(getattr(config, name, None) for name in ("split", "gates", "challenge")))
    problems = [problem for part in parts for problem in _problems(part)]
    if problems:
        raise SerinusError(
            "SRN-PIPELINE-022",
            "; ".join(problems),
            where=where,
            hint="Mend each of these in the training config; docs/pipeline.md explains the keys.",
        )
    return config


def _problems(part: object) -> list[str]:
    found: list[str] = []
    if isinstance(part, Split):
        total = part.train + part.validation + part.test
        if abs(total - 1) > 1e-6:
            found.append(f"split: train, validation and test add up to {total:g}, not 1")
        for key, value in (("gap", part.gap), ("warmup", part.warmup)):
            try:
                parse_duration(value or "0s")
            except ValueError as error:
                found.append(f"split.{key}: {error}")
    if isinstance(part, Challenge):
        names = [scenario.name for scenario in part.scenarios]
        if len(names) != len(set(names)):
            found.append(f"challenge.scenarios: names repeat: {', '.join(names)}")
        for scenario in part.scenarios:
            changes = scenario.multiply or scenario.add or scenario.missing or scenario.bad_odds != 1
            if not changes:
                found.append(f"challenge.scenarios: {scenario.name} changes nothing")
    if isinstance(part, Gates):
        from components.evaluate.names import METRICS

        for gate in part.metrics:
            if gate.metric not in METRICS:
                found.append(f'gates: there is no metric "{gate.metric}"; there are {", ".join(METRICS)}')
            if gate.min is None and gate.max is None:
                found.append(f"gates: {gate.metric} needs min or max")
    return found
