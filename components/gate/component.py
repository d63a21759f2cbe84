"""The KFP component over ``components.gate.gate``: imports and calls, nothing else."""

# No postponed annotations here: KFP reads the types themselves.
from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(
    metrics: Input[Artifact],
    fairness: Input[Artifact],
    explain: Input[Artifact],
    challenge: Input[Artifact],
    champion: Input[Artifact],
    latency: Input[Artifact],
    config: str,
    validation: Output[Artifact],
    judgement: Output[Artifact],
):
    """Stop what does not reach every demand."""
    from pathlib import Path

    from components.gate.gate import gate as function
    from components.step import run_step

    validation.metadata.update(
        run_step(
            "gate",
            function,
            metrics=Path(metrics.path),
            fairness=Path(fairness.path),
            explain=Path(explain.path),
            challenge=Path(challenge.path),
            champion=Path(champion.path),
            latency=Path(latency.path),
            config=config,
            validation=Path(validation.path),
            judgement=Path(judgement.path),
        )
    )
