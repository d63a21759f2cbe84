"""The KFP component over ``components.features.features``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def features(
    contract: Input[Artifact], records: Input[Dataset], profile: Input[Artifact], table: Output[Dataset]
):
    """Compute the contract's features of every record (``profile`` only orders the steps)."""
    from pathlib import Path

    from components.features.features import features as function
    from components.step import run_step

    table.metadata.update(
        run_step(
            "features",
            function,
            contract=Path(contract.path),
            records=Path(records.path),
            table=Path(table.path),
        )
    )
