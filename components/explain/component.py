"""The KFP component over ``components.explain.explain``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def explain(
    contract: Input[Artifact],
    table: Input[Dataset],
    assignment: Input[Artifact],
    model: Input[Model],
    report: Output[Artifact],
):
    """Explain the model and check its reasons."""
    from pathlib import Path

    from components.explain.explain import explain as function
    from components.step import run_step

    report.metadata.update(
        run_step(
            "explain",
            function,
            contract=Path(contract.path),
            features=Path(table.path),
            assignment=Path(assignment.path),
            model=Path(model.path),
            report=Path(report.path),
        )
    )
