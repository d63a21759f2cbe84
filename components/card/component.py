"""The KFP component over ``components.card.card``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def card(
    contract: Input[Artifact],
    ingested: Input[Artifact],
    profile: Input[Artifact],
    split: Input[Artifact],
    training: Input[Artifact],
    metrics: Input[Artifact],
    fairness: Input[Artifact],
    explain: Input[Artifact],
    challenge: Input[Artifact],
    validation: Input[Artifact],
    identity: str,
    split_config: str,
    training_config: str,
    challenge_config: str,
    gates_config: str,
    html: Output[HTML],
    content: Output[Artifact],
):
    """Write the model card from the reports of the other steps."""
    from pathlib import Path

    from components.card.card import card as function
    from components.step import run_step

    html.metadata.update(
        run_step(
            "card",
            function,
            contract=Path(contract.path),
            ingested=Path(ingested.path),
            profile=Path(profile.path),
            split=Path(split.path),
            training=Path(training.path),
            metrics=Path(metrics.path),
            fairness=Path(fairness.path),
            explain=Path(explain.path),
            challenge=Path(challenge.path),
            validation=Path(validation.path),
            identity=identity,
            configs={
                "split": split_config,
                "training": training_config,
                "challenge": challenge_config,
                "gates": gates_config,
            },
            html=Path(html.path),
            data=Path(content.path),
        )
    )
