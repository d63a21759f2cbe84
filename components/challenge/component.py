"""The KFP component over ``components.challenge.challenge``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def challenge(
    contract: Input[Artifact],
    records: Input[Dataset],
    table: Input[Dataset],
    assignment: Input[Artifact],
    model: Input[Model],
    training_config: str,
    config: str,
    report: Output[Artifact],
):
    """Try to break the model."""
    from pathlib import Path

    from components.challenge.challenge import challenge as function
    from components.step import run_step

    report.metadata.update(
        run_step(
            "challenge",
            function,
            contract=Path(contract.path),
            records=Path(records.path),
            features=Path(table.path),
            assignment=Path(assignment.path),
            model=Path(model.path),
            training=training_config,
            config=config,
            report=Path(report.path),
        )
    )
