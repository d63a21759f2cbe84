"""What survives a kill -9 and a full disk: the program as it runs, real files, a real small disk."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from serinus.bundle import Bundle
from serinus.chain import segments, verify_log
from serinus.events import read_decisions
from serinus.home import Home
from tests.local.scorer.crashes import crash
from tests.local.scorer.load import BODIES, Load, pending, until
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_bundle, small_home

pytestmark = pytest.mark.local


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small_bundle(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return small_home(tmp_path)


def test_under_strict_a_kill_loses_nothing_that_was_answered(bundle: Bundle, home: Home) -> None:
    chance = random.Random(7)
    flags = ("--durability", "strict", "--log-rotate-bytes", "64KiB")

    def busy(load: Load) -> None:
        until(lambda: len(load.answered) >= 60)

    rounds = [crash(bundle, home, chance.uniform(0, 0.2), str(i), *flags, seen=busy) for i in range(4)]
    log = home.decisions / "small-champion.jsonl"
    assert [r.missing for r in rounds] == [0] * 4
    assert all(r.answered >= 60 for r in rounds)
    assert verify_log(log).broken is None
    assert segments(log) != []


def test_under_relaxed_a_kill_loses_only_the_newest_answers(bundle: Bundle, home: Home) -> None:
    chance = random.Random(8)
    log = home.decisions / "small-champion.jsonl"
    written: list[int] = []

    def behind(load: Load) -> None:
        """While answers go on, those up to now are written, without anybody's asking."""
        until(lambda: len(load.answered) >= 100)
        answered = [puid.encode() for puid, _ in load.answered[:]]

        def there() -> bool:
            lines = log.read_bytes()
            return all(b'"%b"' % puid in lines for puid in answered)

        until(there)
        written.append(len(answered))

    rounds = [crash(bundle, home, chance.uniform(0, 0.2), str(i), seen=behind) for i in range(3)]
    assert verify_log(log).broken is None
    for r, known in zip(rounds, written, strict=True):
        assert r.logged >= r.answered - r.missing
        assert r.answered - r.missing >= known
        assert r.newest


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[tuple[Path, Callable[[bool], None]]]:
    """A directory on a disk of 16 MiB, and a way to fill the rest of it: more room than the tests' load needs."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    ballast = place / "ballast"

    def fill(full: bool) -> None:
        if not full:
            ballast.unlink(missing_ok=True)
            return
        with ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 512, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    pass

    yield place, fill
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("durability", ["strict", "relaxed"])
def test_a_full_disk_stops_scoring_loses_nothing_and_is_recovered_from_without_help(
    durability: str, bundle: Bundle, home: Home, small_disk: tuple[Path, Callable[[bool], None]]
) -> None:
    place, fill = small_disk
    log = place / "small.jsonl"
    flags = ["--durability", durability, "--log", str(log), "--log-interval", "5ms"]
    with ScorerProcess(bundle.path, home.root, *flags) as scorer, connection(scorer.port) as client:
        load = Load(scorer.port, workers=2)
        until(lambda: len(load.answered) >= 50)
        fill(True)
        if durability == "strict":
            # What the log needs beyond the page it has; then each request is refused.
            until(lambda: len(load.refused) >= 5)
            assert set(load.refused) == {503}
            # One that fitted in after one that did not makes it ready for a moment.
            until(lambda: client.get("/v2/health/ready")[0] == 503)
            before = len(load.answered)
            fill(False)
            until(lambda: client.get("/v2/health/ready")[0] == 200)
            until(lambda: len(load.answered) >= before + 50)
        else:
            # Answers go on while decisions wait in memory; nobody is refused before 20,000 do.
            until(lambda: "SRN-AUDIT-002" in scorer.told)
            until(lambda: pending(client.get("/metrics")[2]) > 1000)
            fill(False)
            until(lambda: pending(client.get("/metrics")[2]) < 500)
            assert load.refused == []
        load.stop()
        load.join()
        scorer.terminate()
        code, error = scorer.wait()
    assert code == 0
    assert error.count("SRN-AUDIT-002") >= 1
    assert verify_log(log).broken is None
    logged = [event.id for event in read_decisions(log)]
    assert len(logged) == len(set(logged))
    assert {puid for puid, _ in load.answered} == set(logged)


def test_strict_refuses_while_files_may_not_grow_and_answers_when_they_may(
    bundle: Bundle, home: Home
) -> None:
    """The same without root: the kernel's limit on file size, which also tears the line it stops at."""
    with (
        ScorerProcess(bundle.path, home.root, "--durability", "strict") as scorer,
        connection(scorer.port) as client,
    ):

        def ask(puid: str) -> int:
            return client.post("/predict", BODIES[0], {"Seldon-Puid": puid})[0]

        def room(size: int) -> None:
            resource.prlimit(scorer.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        assert ask("a") == 200
        size = (home.decisions / "small-champion.jsonl").stat().st_size
        room(size + 100)
        assert ask("torn") == 503
        assert ask("refused at once") == 503
        room(1 << 20)
        until(lambda: client.get("/v2/health/ready")[0] == 200)
        assert ask("b") == 200
        outcome = b'{"response":{"meta":{"puid":"b"}},"truth":{"data":{"ndarray":[[1]]}}}'
        room(0)
        assert client.post("/send-feedback", outcome)[0] == 503
        room(1 << 20)
        assert client.post("/send-feedback", outcome)[0] == 200
        scorer.terminate()
        assert scorer.wait()[0] == 0
    assert [event.id for event in read_decisions(home.decisions / "small-champion.jsonl")] == ["a", "b"]
    kept = (home.decisions / "small.feedback.jsonl").read_text().splitlines()
    assert len(kept) == 1
