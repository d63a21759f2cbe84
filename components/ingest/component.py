"""The KFP component over ``components.ingest.task``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(
    data: str,
    contract: str,
    code: str,
    records: Output[Dataset],
    contract_out: Output[Artifact],
    report: Output[Artifact],
):
    """Read, check and type the records.

    Args:
        data: path of the records, or s3://…; on one machine named by their content, so that the cache is too.
        contract: the data contract as JSON.
        code: digest of the code; new code makes every step run again.
    """
    from pathlib import Path

    from components.ingest.task import ingest_records
    from components.step import run_step

    records.metadata.update(
        run_step(
            "ingest",
            ingest_records,
            data=data,
            contract=contract,
            records=Path(records.path),
            contract_out=Path(contract_out.path),
            report=Path(report.path),
        )
    )
