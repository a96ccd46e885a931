"""Provenance: the chain from the official archive to the weights, each link with what proves it.

    for link in dsets.provenance.of("runs/lenet"):
        print(link.kind, link.facts, link.checks)

A checkpoint carries the whole chain by digest, so it is known where nothing else is left. What is
on this machine is compared with it. Everything in a pack or checkpoint is read as a stranger's
word: of the paths it names only an index is read, and nothing of it runs.
"""

from dsets.provenance.chain import of
from dsets.provenance.link import Check, Link

__all__ = ["Check", "Link", "of"]
