"""The rule files through promtool, the routing through amtool."""

import shutil
import subprocess
from pathlib import Path

import pytest

from serving.local import monitoring
from tests.local.drift.support import need

pytestmark = pytest.mark.local

RULES = sorted((monitoring.WATCH / "rules").glob("*.yaml"))
TESTS = sorted((monitoring.WATCH / "tests").glob("*.test.yaml"))


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configured(tmp_path: Path) -> Path:
    tools = monitoring.Tools(Path("prometheus"), Path("alertmanager"))
    monitoring.write_config(tools, tmp_path, [], "http://127.0.0.1:1/api/v1/alerts")
    return tmp_path


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_rules_are_well_formed(rules: Path) -> None:
    need(shutil.which("promtool") is not None, "promtool")
    run("promtool", "check", "rules", str(rules))


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.name)
def test_alerts_fire_when_they_should_and_stay_silent_when_they_should(tests: Path) -> None:
    need(shutil.which("promtool") is not None, "promtool")
    assert "SUCCESS" in run("promtool", "test", "rules", tests.name, cwd=tests.parent)


def test_the_written_configuration_is_accepted(tmp_path: Path) -> None:
    need(shutil.which("promtool") is not None, "promtool")
    need(shutil.which("amtool") is not None, "amtool")
    directory = configured(tmp_path)
    run("promtool", "check", "config", str(directory / "prometheus.yml"))
    run("amtool", "check-config", str(directory / "alertmanager.yml"))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=SerinusScoreDrift", "retrain=true"), "retrain"),
        (("alertname=SerinusDataQuality", "retrain=false"), "people"),
        (("alertname=AnotherTeams",), "people"),
    ],
)
def test_only_alerts_that_ask_for_it_reach_the_retraining_receiver(
    tmp_path: Path, labels: tuple[str, ...], receiver: str
) -> None:
    need(shutil.which("amtool") is not None, "amtool")
    config = configured(tmp_path) / "alertmanager.yml"
    assert run("amtool", "config", "routes", "test", f"--config.file={config}", *labels).strip() == receiver
