"""One archive for an auditor: what happened and was decided in a period, provable without serinus."""

from serinus.export.archive import Exported, export_archive
from serinus.export.period import Period, parse_period

__all__ = ["Exported", "Period", "export_archive", "parse_period"]
