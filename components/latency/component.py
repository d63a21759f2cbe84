"""The KFP component over ``components.latency.latency``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def latency(
    contract: Input[Artifact],
    table: Input[Dataset],
    assignment: Input[Artifact],
    model: Input[Model],
    config: str,
    report: Output[Artifact],
):
    """Time the model as it will be served."""
    from pathlib import Path

    from components.latency.latency import latency as function
    from components.step import run_step

    report.metadata.update(
        run_step(
            "latency",
            function,
            contract=Path(contract.path),
            features=Path(table.path),
            assignment=Path(assignment.path),
            model=Path(model.path),
            config=config,
            report=Path(report.path),
        )
    )
