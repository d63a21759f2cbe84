"""The KFP component over ``components.register.register``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    contract: Input[Artifact],
    ingested: Input[Artifact],
    table: Input[Dataset],
    assignment: Input[Artifact],
    model: Input[Model],
    metrics: Input[Artifact],
    validation: Input[Artifact],
    card_html: Input[HTML],
    card: Input[Artifact],
    identity: str,
    split_config: str,
    training_config: str,
    challenge_config: str,
    gates_config: str,
    code: str,
    home: str,
    by: str,
    run: str,
    bundles: str,
    source: str,
    version: Output[Artifact],
):
    """Write the signed bundle and register it."""
    from pathlib import Path

    from components.register.register import register as function
    from components.step import run_step

    version.metadata.update(
        run_step(
            "register",
            function,
            contract=Path(contract.path),
            ingested=Path(ingested.path),
            features=Path(table.path),
            assignment=Path(assignment.path),
            model=Path(model.path),
            metrics=Path(metrics.path),
            validation=Path(validation.path),
            card_html=Path(card_html.path),
            card=Path(card.path),
            identity=identity,
            configs={
                "split": split_config,
                "training": training_config,
                "challenge": challenge_config,
                "gates": gates_config,
            },
            code=code,
            home=Path(home),
            by=by,
            run=run,
            bundles=bundles,
            source=source,
            version=Path(version.path),
        )
    )
