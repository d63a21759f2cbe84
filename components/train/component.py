"""The KFP component over ``components.train.train``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    contract: Input[Artifact],
    table: Input[Dataset],
    assignment: Input[Artifact],
    config: str,
    model: Output[Model],
    report: Output[Artifact],
):
    """Train and calibrate the model."""
    from pathlib import Path

    from components.step import run_step
    from components.train.train import train as function

    report.metadata.update(
        run_step(
            "train",
            function,
            contract=Path(contract.path),
            features=Path(table.path),
            assignment=Path(assignment.path),
            config=config,
            model=Path(model.path),
            report=Path(report.path),
        )
    )
