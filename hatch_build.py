"""Compiles ``serinus.model._native``: as hatch's build hook, or by ``python hatch_build.py``.

A machine without a compiler gets Zig's from PyPI for the build. If compiling fails all the
same, the installation goes on: serinus then scores by LightGBM itself, slower, with the same
answers, and says so when it starts.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
SOURCES = Path("serinus/model/native")
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
TARGET = Path("serinus/model") / f"_native{SUFFIX}"
FLAGS = ("-O3", "-g0", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wno-psabi")


def compiler() -> list[str] | None:
    """The command of a C compiler: ``$CC``, then what is on the PATH, then the ziglang wheel."""
    if os.environ.get("CC"):
        return os.environ["CC"].split()
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    return None


def build(root: Path = ROOT) -> str:
    """Compile into the source tree. Returns an empty string, or what went wrong."""
    command = compiler()
    if command is None:
        return "there is no C compiler"
    include = sysconfig.get_paths()["include"]
    if not (Path(include) / "Python.h").exists():
        return f"Python's headers are not in {include}"
    with tempfile.TemporaryDirectory(dir=root / TARGET.parent, prefix=".build-") as work:
        made = Path(work) / "_native.so"
        sources = sorted(str(source) for source in (root / SOURCES).glob("*.c"))
        arguments = [*command, *FLAGS, f"-I{include}", *sources, "-o", str(made), "-lm"]
        # Zig's cache must not fill a home directory that a build may not have.
        zig = {"ZIG_GLOBAL_CACHE_DIR": work, "ZIG_LOCAL_CACHE_DIR": work}
        try:
            done = subprocess.run(
                arguments, capture_output=True, text=True, timeout=600, env={**os.environ, **zig}
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        if done.returncode != 0 or not made.exists():
            return f"{' '.join(command)} failed:\n{(done.stderr or done.stdout).strip()[-4000:]}"
        os.replace(made, root / TARGET)  # whole or not at all: a running scorer may have it mapped
    return ""


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand
    pass
else:

    class CustomBuildHook(BuildHookInterface):  # pyright: ignore[reportMissingTypeArgument]
        """Puts the compiled module into the wheel, or beside the source of an editable install."""

        def dependencies(self) -> list[str]:
            """Zig's compiler where there is no other."""
            return [] if compiler() else ["ziglang>=0.13"]

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Compile; without success the wheel is one for any platform."""
            if self.target_name != "wheel":
                return
            problem = build(Path(self.root))
            if problem:
                (Path(self.root) / TARGET).unlink(missing_ok=True)  # an old one is of other sources
                self.app.display_warning(
                    f"serinus's native kernel was not compiled; it will score by LightGBM, slower: {problem}"
                )
                return
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            if version != "editable":
                build_data["force_include"][str(Path(self.root) / TARGET)] = str(TARGET)


if __name__ == "__main__":
    problem = build()
    sys.stderr.write(problem + "\n" if problem else "")
    sys.exit(1 if problem else 0)
