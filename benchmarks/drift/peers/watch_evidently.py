"""Runs in Evidently's own environment: looks from an .npz in, verdicts as JSON out.

``python watch_evidently.py looks.npz verdicts.json``; the file holds ``<stream>/reference`` (m, F) and
``<stream>/looks`` (k, n, F).
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")


def main() -> None:
    """One DataDriftPreset per look, with its defaults."""
    import numpy as np
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    held, out = np.load(sys.argv[1]), {}
    for stream in sorted({name.split("/")[0] for name in held.files}):
        reference, looks = held[f"{stream}/reference"], held[f"{stream}/looks"]
        names = [f"x{i}" for i in range(reference.shape[1])]
        definition = DataDefinition(numerical_columns=names)
        yardstick = Dataset.from_pandas(pd.DataFrame(reference, columns=names), data_definition=definition)
        drifted, seconds = [], []
        for rows in looks:
            began = time.process_time()
            look = Dataset.from_pandas(pd.DataFrame(rows, columns=names), data_definition=definition)
            result = Report([DataDriftPreset()]).run(look, yardstick).dict()
            counts = [
                m["value"]["count"]
                for m in result["metrics"]
                if "count" in (m["value"] if isinstance(m["value"], dict) else {})
            ]
            drifted.append(int(counts[0]) if counts else -1)
            seconds.append(time.process_time() - began)
        out[stream] = {"drifted_columns": drifted, "cpu_seconds_median": float(np.median(seconds))}
    with Path(sys.argv[2]).open("w") as file:
        json.dump(out, file)


if __name__ == "__main__":
    main()
