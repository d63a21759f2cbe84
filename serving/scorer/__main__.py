"""``python -m serving.scorer``."""

from __future__ import annotations

import os
import sys

# LightGBM imports these for its training interfaces if it finds them. A scorer
# has no use for them, and where the training environment is installed too they
# make up three quarters of its start (7 s of CPU, not 2) and half its memory.
_NOT_FOR_SCORING = ("cffi", "dask", "graphviz", "matplotlib", "pandas", "pyarrow", "sklearn")


def main() -> int:
    """Serve until told to stop. Exit code 0 after a drain, 1 on an error, 2 on a wrong flag."""
    # Before LightGBM is imported: OpenMP threads beyond the pod's CPU quota
    # cost a single row more than they give it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in _NOT_FOR_SCORING:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]  None stops an import
    from serinus.errors import SerinusError
    from serinus.masking import mask_logs
    from serving.scorer.config import parse
    from serving.scorer.server import serve

    mask_logs()
    settings = parse(sys.argv[1:], os.environ)
    try:
        return serve(settings)
    except SerinusError as error:
        sys.stderr.write(f"serinus: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
