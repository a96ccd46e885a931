"""Proof that what is on disk is what the manifest, or the pack's index, says.

report = verify.files(manifest, folder)      # sizes and digests of the raw files
report.ok, report.checks
"""

from dsets.verify.files import files
from dsets.verify.report import Check, Report

__all__ = ["Check", "Report", "files"]
