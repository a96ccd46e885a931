"""Bench: how fast a pack streams, and where the time goes; the harness of ``dsets bench`` and of
``benchmarks/``."""

from dsets.bench.measure import Report, measure
from dsets.bench.process import cold, drop, memory, processor

__all__ = ["Report", "cold", "drop", "measure", "memory", "processor"]
