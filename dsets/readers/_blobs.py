"""Bytes at known places of a raw file: those of ``dsets.archive``."""

from dsets.archive.blobs import Blobs

__all__ = ["Blobs"]
