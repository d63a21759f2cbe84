"""The KFP component over ``components.evaluate.evaluate``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    contract: Input[Artifact],
    table: Input[Dataset],
    assignment: Input[Artifact],
    model: Input[Model],
    metrics: Output[Artifact],
    scores: Output[Dataset],
):
    """Measure the model on the test rows."""
    from pathlib import Path

    from components.evaluate.evaluate import evaluate as function
    from components.step import run_step

    metrics.metadata.update(
        run_step(
            "evaluate",
            function,
            contract=Path(contract.path),
            features=Path(table.path),
            assignment=Path(assignment.path),
            model=Path(model.path),
            metrics=Path(metrics.path),
            scores=Path(scores.path),
        )
    )
