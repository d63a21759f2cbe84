"""Runs in Evidently's own environment: looks from an .npz in, verdicts as JSON out.

``python watch_evidently.py looks.npz verdicts.json``; the file holds ``<stream>/reference`` (m, F) and
``<stream>/looks`` (k, n, F).
"""

from __future__ import annotations

import importlib
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

    # By name: this file is checked where Evidently is not installed.
    evidently = importlib.import_module("evidently")
    preset = importlib.import_module("evidently.presets").DataDriftPreset
    dataset = evidently.Dataset.from_pandas

    held, out = np.load(sys.argv[1]), {}
    for stream in sorted({name.split("/")[0] for name in held.files}):
        reference, looks = held[f"{stream}/reference"], held[f"{stream}/looks"]
        names = [f"x{i}" for i in range(reference.shape[1])]
        definition = evidently.DataDefinition(numerical_columns=names)
        yardstick = dataset(pd.DataFrame(reference, columns=names), data_definition=definition)
        drifted, seconds = [], []
        for rows in looks:
            began = time.process_time()
            look = dataset(pd.DataFrame(rows, columns=names), data_definition=definition)
            result = evidently.Report([preset()]).run(look, yardstick).dict()
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
