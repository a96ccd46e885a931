"""Manifest → verified raw files.

    plan = fetch.plan(manifest, folder)      # decides, touches nothing
    paths = fetch.files(plan)                # acts

Promises, each with tests:

1. **Nothing wrong under a final name.** A file gets its name after its size and every published
   digest were found right. Until then it is ``<file>.part``.
2. **Nothing right is lost.** A cut connection, Ctrl-C or kill -9 leaves the part, and the same call
   goes on from there, with any address. A file that lies there already is replaced only by one
   that was proved to be the right one.
3. **One download.** Of any number of processes that want a file, one transfers it and the others
   find it there; the lock is the kernel's, so a killed process leaves none behind.
4. **Every address is tried, in order, and the error says what each gave.** HTML pages, wrong sizes
   and wrong digests are answers of that address only; the next may be right.

How a part is continued: by HTTP Range. Where the manifest publishes a digest it decides in the end,
so any address may continue any part; if pieces from different moments do not fit together, the
address starts over once. Without a published digest only the address that began a part may go on
with it, under If-Range with its strong validator; otherwise the part is begun again.
"""

from dsets.fetch import listings, lockfile, terms
from dsets.fetch.job import at_hand, check_offered, files, is_offline
from dsets.fetch.planning import Plan, Step, plan
from dsets.fetch.receipts import Receipt
from dsets.fetch.receipts import read as receipt
from dsets.fetch.removal import Removal, removable, remove
from dsets.fetch.sources import shown
from dsets.fetch.wire import Patience

__all__ = [
    "Patience",
    "Plan",
    "Receipt",
    "Removal",
    "Step",
    "at_hand",
    "check_offered",
    "files",
    "is_offline",
    "listings",
    "lockfile",
    "plan",
    "receipt",
    "removable",
    "remove",
    "shown",
    "terms",
]
