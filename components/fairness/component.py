"""The KFP component over ``components.fairness.fairness``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fairness(
    contract: Input[Artifact], table: Input[Dataset], scores: Input[Dataset], report: Output[Artifact]
):
    """Measure the fairness policy for every protected group."""
    from pathlib import Path

    from components.fairness.fairness import fairness as function
    from components.step import run_step

    report.metadata.update(
        run_step(
            "fairness",
            function,
            contract=Path(contract.path),
            features=Path(table.path),
            scores=Path(scores.path),
            report=Path(report.path),
        )
    )
