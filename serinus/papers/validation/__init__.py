"""The validation report: fifteen sections, each with evidence, verdict and what is missing."""

from serinus.papers.validation.report import validation_report

__all__ = ["validation_report"]
