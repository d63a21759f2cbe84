"""The monitor runs on Python 3.12 with the newest Alibi Detect, and on 3.11 with the last under Apache-2.0."""

import importlib
import importlib.metadata
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import serinus

ROOT = Path(__file__).parents[3]
RELEASE = {(3, 11): ("0.11.4", "Apache"), (3, 12): ("0.13.0", "Business Source License")}

ELSEWHERE = {
    "serinus.kube.api": "kubernetes",
    "serinus.kube.follow": "kubernetes",
    "serinus.privacy.postgres": "psycopg",
}
"""Modules that stand on a client's library, which the monitor's image does without."""


def test_each_python_has_the_release_whose_licence_the_readme_names() -> None:
    version, licence = RELEASE[sys.version_info[:2]]
    found = importlib.metadata.distribution("alibi-detect")
    assert found.version == version
    text = next(file for file in found.files or () if file.name == "LICENSE").read_text()
    assert licence in text


@pytest.mark.parametrize(
    "module", [m.name for m in pkgutil.walk_packages(serinus.__path__, "serinus.") if "_native" not in m.name]
)
def test_the_whole_kernel_is_importable(module: str) -> None:
    """But for adapters of servers that the monitor does not speak to; this Python reads those as well."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if ELSEWHERE.get(module) != error.name:
            raise
        path = ROOT / Path(*module.split(".")).with_suffix(".py")
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_the_lock_of_the_apache_image_holds_all_that_the_tests_ran_with() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z].*==.*$", (ROOT / "requirements" / name).read_text(), re.M))

    runtime, tested = pins("drift-apache.txt"), pins("drift-apache-test.txt")
    assert "alibi-detect==0.11.4" in runtime
    assert runtime <= tested
