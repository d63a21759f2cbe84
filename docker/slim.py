"""Takes out of an image's environment what no running program reads: tests, type stubs, headers, symbols.

Runs in the build stage, on the environment that the final stage then copies. Prints what it saved.
Bytecode stays: with a read-only root file system it could not be written at the first start.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

# Packages bring their tests along; nothing imports them (numpy.testing, which others do import, is not named so).
DIRECTORIES = {"tests", "test", "include", "testdata", "_pyinstaller"}
SUFFIXES = {".pyi", ".pxd", ".pyx", ".h", ".hpp", ".c", ".cpp", ".a", ".lib", ".whl"}
# Tools of the environment itself.
PACKAGES = {"pip", "setuptools", "wheel"}


def size(root: Path) -> int:
    """Bytes of all files below ``root``."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def remove(site: Path) -> None:
    """Delete files that are only read while developing."""
    for path in sorted(site.rglob("*"), key=lambda found: len(found.parts)):
        if not path.exists():
            continue  # its directory went before it
        if path.is_dir() and not path.is_symlink():
            top_level = path.parent == site
            if (top_level and path.name in PACKAGES) or (not top_level and path.name in DIRECTORIES):
                shutil.rmtree(path)
        elif path.suffix in SUFFIXES:
            path.unlink()


def strip(site: Path) -> None:
    """Drop symbols that only a debugger reads, from libraries that are not already patched by auditwheel."""
    tool = shutil.which("strip")
    if tool is None:
        return
    for path in site.rglob("*.so*"):
        # Libraries in NAME.libs had their headers rewritten; a second rewriting can break them.
        if path.is_file() and not path.is_symlink() and not path.parent.name.endswith(".libs"):
            # --strip-debug keeps the dynamic symbols that others link against.
            subprocess.run([tool, "--strip-debug", str(path)], check=False, capture_output=True)


def main(root: Path) -> None:
    """Make the environment at ``root`` smaller."""
    before = size(root)
    for site in root.glob("lib/python3*/site-packages"):
        remove(site)
        strip(site)
    after = size(root)
    sys.stdout.write(f"slim: {root} from {before >> 20} to {after >> 20} MiB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
