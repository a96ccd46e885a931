"""Subsets: of a dataset's images only those that are needed, as a dataset of its own.

    plan = subset.plan(parent, Selection(("cat", "dog"), 500, ("val",)), name)   # decides
    made = subset.make(plan)                                                     # acts

The annotations must be in the store. The images come by ranges out of the published zip, wherever
it lies, each proved by its CRC-32 and by being decoded; neighbours come in one request, many
requests at once. What comes is kept in ``.subset.part`` until all is there, so that a call that was
interrupted or killed goes on.

The subset is a dataset like any other: the same reader, fields, classes and licence; in the store
its raw files (a zip of the images as they were published, the annotation archives with these
images' entries alone, and ``subset.json``) and its manifest with their digests. ``subset.json``
says what was asked for, of which annotations by digest, and has the exact list of samples with the
sha256 of each image. The same call gives the same bytes everywhere.

Which images: of the ``most`` wanted those with the smallest sha256 of "seed:key". So a larger
``most`` only adds images, and another seed gives others.
"""

from dsets.subset.job import Made, make
from dsets.subset.planning import Plan, Share, plan
from dsets.subset.record import FILE, Lacking
from dsets.subset.removal import left, remove
from dsets.subset.selection import Selection, default_name

__all__ = [
    "FILE",
    "Lacking",
    "Made",
    "Plan",
    "Selection",
    "Share",
    "default_name",
    "left",
    "make",
    "plan",
    "remove",
]
