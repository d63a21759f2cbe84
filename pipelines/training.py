"""The training pipeline: from records to a registered version."""

# No postponed annotations here: KFP reads the types themselves. It also provides the
# arguments that are outputs, which a type checker cannot know.
# pyright: reportCallIssue=false
from typing import Any

from kfp import dsl

from components.card.component import card
from components.challenge.component import challenge
from components.champion.component import champion
from components.evaluate.component import evaluate
from components.explain.component import explain
from components.fairness.component import fairness
from components.features.component import features
from components.gate.component import gate
from components.ingest.component import ingest
from components.latency.component import latency
from components.register.component import register
from components.split.component import split
from components.train.component import train
from components.validate.component import validate
from pipelines.server import HOME, Server, dress

STEPS = (
    "ingest",
    "validate",
    "features",
    "split",
    "train",
    "evaluate",
    "fairness",
    "explain",
    "challenge",
    "champion",
    "latency",
    "gate",
    "card",
    "register",
)
"""The tasks in the order in which they run on one machine."""


def build(server: Server | None = None) -> Any:
    """The pipeline, for this machine or for a KFP server.

    This machine's runner knows neither images nor resources, retries nothing, and caches
    ingest by the content of its data.
    """
    code, bundles = (server.code, server.bundles) if server else ("{}", "")

    @dsl.pipeline(
        name="serinus-training",
        description=", ".join(STEPS),
    )
    def training(
        data: str,
        contract: str,
        split_config: str = "{}",
        training_config: str = "{}",
        challenge_config: str = "{}",
        champion_config: str = "{}",
        latency_config: str = "{}",
        gates_config: str = "{}",
        champion_bundle: str = "",
        champion_digest: str = "",
        identity: str = "{}",
        code: str = code,
        home: str = HOME,
        by: str = "pipeline",
        run: str = "",
        bundles: str = bundles,
    ):
        """Train, validate and register a model of any tabular data set.

        Args:
            data: the records (CSV or Parquet): a path, or s3://bucket/key.
            contract: the data contract as JSON.
            split_config, training_config, challenge_config, champion_config, latency_config, gates_config,
                identity: parts of the training config as JSON; each has defaults. Apart, so that new gates
                do not train again.
            champion_bundle: the champion to compare with: a bundle's directory or URI (s3://bucket/path/digest);
                empty: there is none. champion_digest: which bundle it must be, if the URI does not say.
            code: JSON: what names the code, its digest and the libraries' versions, or the image's digest.
            home: the installation's directory, where bundles and the registry lie.
            by: who builds; run: the run's name.
            bundles: where the bundle is put for clusters to fetch (s3://bucket/path); empty: only in home.
        """
        read = ingest(data=data, contract=contract, code=code)
        agreed = read.outputs["contract_out"]
        checked = validate(contract=agreed, records=read.outputs["records"])
        made = features(contract=agreed, records=read.outputs["records"], profile=checked.outputs["report"])
        table = made.outputs["table"]
        parts = split(contract=agreed, table=table, config=split_config)
        assignment = parts.outputs["assignment"]
        fitted = train(contract=agreed, table=table, assignment=assignment, config=training_config)
        model = fitted.outputs["model"]
        judged = evaluate(contract=agreed, table=table, assignment=assignment, model=model)
        fair = fairness(contract=agreed, table=table, scores=judged.outputs["scores"])
        explained = explain(contract=agreed, table=table, assignment=assignment, model=model)
        explained.after(fair)  # one order everywhere; a server would run the two at once
        challenged = challenge(
            contract=agreed,
            records=read.outputs["records"],
            table=table,
            assignment=assignment,
            model=model,
            training_config=training_config,
            config=challenge_config,
        )
        challenged.after(explained)
        compared = champion(
            contract=agreed,
            ingested=read.outputs["report"],
            records=read.outputs["records"],
            table=table,
            assignment=assignment,
            model=model,
            bundle=champion_bundle,
            digest=champion_digest,
            split_config=split_config,
            config=champion_config,
        )
        compared.after(challenged)
        timed = latency(
            contract=agreed, table=table, assignment=assignment, model=model, config=latency_config
        )
        timed.after(compared)
        passed = gate(
            metrics=judged.outputs["metrics"],
            fairness=fair.outputs["report"],
            explain=explained.outputs["report"],
            challenge=challenged.outputs["report"],
            champion=compared.outputs["report"],
            latency=timed.outputs["report"],
            config=gates_config,
        )
        written = card(
            contract=agreed,
            ingested=read.outputs["report"],
            profile=checked.outputs["report"],
            split=parts.outputs["report"],
            training=fitted.outputs["report"],
            metrics=judged.outputs["metrics"],
            fairness=fair.outputs["report"],
            explain=explained.outputs["report"],
            challenge=challenged.outputs["report"],
            validation=passed.outputs["validation"],
            identity=identity,
            split_config=split_config,
            training_config=training_config,
            challenge_config=challenge_config,
            gates_config=gates_config,
        )
        entered = register(
            contract=agreed,
            ingested=read.outputs["report"],
            table=table,
            assignment=assignment,
            model=model,
            metrics=judged.outputs["metrics"],
            validation=passed.outputs["validation"],
            card_html=written.outputs["html"],
            card=written.outputs["content"],
            identity=identity,
            split_config=split_config,
            training_config=training_config,
            challenge_config=challenge_config,
            gates_config=gates_config,
            code=code,
            home=home,
            by=by,
            run=run,
            bundles=bundles,
            source=data,
        )
        # What a run changes in the world is never taken from a cache.
        entered.set_caching_options(enable_caching=False)
        if server is not None:
            done = (
                read, checked, made, parts, fitted, judged, fair, explained, challenged, compared, timed, passed,
                written, entered,
            )  # fmt: skip
            dress(dict(zip(STEPS, done, strict=True)), server)

    return training


training = build()
"""As this machine runs it."""
