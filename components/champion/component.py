"""The KFP component over ``components.champion.champion``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def champion(
    contract: Input[Artifact],
    ingested: Input[Artifact],
    records: Input[Dataset],
    table: Input[Dataset],
    assignment: Input[Artifact],
    model: Input[Model],
    bundle: str,
    digest: str,
    split_config: str,
    config: str,
    report: Output[Artifact],
):
    """Compare the candidate with the champion.

    Args:
        bundle: the champion's bundle: a directory, file:///… or s3://…; empty: there is no champion.
        digest: which bundle it must be (sha256:…); may be left out where the URI's last part names it.
    """
    from pathlib import Path

    from components.champion.champion import champion as function
    from components.step import run_step

    report.metadata.update(
        run_step(
            "champion",
            function,
            contract=Path(contract.path),
            ingested=Path(ingested.path),
            records=Path(records.path),
            features=Path(table.path),
            assignment=Path(assignment.path),
            model=Path(model.path),
            bundle=bundle,
            digest=digest,
            split_config=split_config,
            config=config,
            report=Path(report.path),
        )
    )
