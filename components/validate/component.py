"""The KFP component over ``components.validate.validate``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate(contract: Input[Artifact], records: Input[Dataset], report: Output[Artifact]):
    """Validate the records as a whole against the contract."""
    from pathlib import Path

    from components.step import run_step
    from components.validate.validate import validate as function

    report.metadata.update(
        run_step(
            "validate",
            function,
            contract=Path(contract.path),
            records=Path(records.path),
            report=Path(report.path),
        )
    )
