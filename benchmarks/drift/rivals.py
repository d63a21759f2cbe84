"""Other monitors on the same looks. Each answers with the p-value or distance that its own rule is put to."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.watching import Column
from serinus.watching.effects import Yardsticks
from serving.drift.alibi_import import load

Floats = NDArray[np.float64]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def alibi(module: str, name: str) -> Any:
    """A detector class of Alibi Detect, loaded as the sidecar does, so that both may run in one process."""
    with contextlib.redirect_stderr(io.StringIO()):
        return load(module, name)


class KS:
    """Alibi Detect's KSDrift over all columns; the least p-value is what Bonferroni's rule reads."""

    def __init__(self, reference: Floats) -> None:
        self._test = alibi("ks", "KSDrift")(reference, p_val=0.05, correction="bonferroni")

    def least(self, rows: Floats) -> tuple[float, bool]:
        """(least p-value of a look, its own verdict at the default .05); p is NaN-aware as Alibi Detect is: not."""
        data = self._test.predict(rows)["data"]
        p = np.asarray(data["p_val"])
        return float(np.nanmin(p)) if not np.isnan(p).all() else 1.0, bool(data["is_drift"])


class ChiSquare:
    """Alibi Detect's ChiSquareDrift of one column of codes."""

    def __init__(self, reference: Floats) -> None:
        self._test = alibi("chisquare", "ChiSquareDrift")(reference.reshape(-1, 1))

    def p(self, rows: Floats) -> float:
        """p-value of a look."""
        return float(np.ravel(self._test.predict(rows.reshape(-1, 1))["data"]["p_val"])[0])


class Online:
    """Alibi Detect's CVMDriftOnline for rows one by one, configured once and reset between replicas."""

    def __init__(self, reference: Floats, ert: float, window: int, boots: int) -> None:
        np.random.seed(0)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self._test = alibi("cvm_online", "CVMDriftOnline")(
                reference, ert=ert, window_sizes=[window], n_bootstraps=boots, verbose=False
            )

    def run_length(self, rows: Floats) -> tuple[int, bool]:
        """Rows until the first alarm, and whether there was one."""
        self._test.reset_state() if hasattr(self._test, "reset_state") else self._test.reset()
        for t, row in enumerate(rows):
            if self._test.predict(row)["data"]["is_drift"]:
                return t + 1, True
        return len(rows), False


def psi(columns: list[Column], counts: Floats) -> Floats:
    """PSI of every column of a look, ``counts`` end to end."""
    reference = np.concatenate([np.asarray(c.counts[0], np.float64) for c in columns])
    found = Yardsticks(columns).effects(reference, counts, np.array(np.inf), 1)
    return np.array([0.0 if e is None else e.psi for e in found])
