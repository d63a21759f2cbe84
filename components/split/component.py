"""The KFP component over ``components.split.split``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def split(
    contract: Input[Artifact],
    table: Input[Dataset],
    config: str,
    assignment: Output[Artifact],
    report: Output[Artifact],
):
    """Assign every row to training, validation or test."""
    from pathlib import Path

    from components.split.split import split as function
    from components.step import run_step

    report.metadata.update(
        run_step(
            "split",
            function,
            contract=Path(contract.path),
            features=Path(table.path),
            config=config,
            assignment=Path(assignment.path),
            report=Path(report.path),
        )
    )
