"""Proof that what is on disk is what the manifest, or the pack's index, says.

report = verify.files(manifest, folder)      # sizes and digests of the raw files
report = verify.locked(report, manifest, locked, lock)  # and what dsets.lock says of them
report = verify.samples(source)              # every sample of a split, every published member
report = verify.pack(path)                   # a pack, its damage located to the sample
report.ok, report.checks
"""

from dsets.verify.files import files
from dsets.verify.lock import locked
from dsets.verify.packs import pack
from dsets.verify.report import Check, Report
from dsets.verify.samples import samples

__all__ = ["Check", "Report", "files", "locked", "pack", "samples"]
