"""Files that the user has → the store, recognised by size, digest and name.

    plan = adopt.plan(manifest, [Path("~/downloads")])   # decides; hashes, changes nothing
    done = adopt.adopt(plan)                             # acts

Promises, each with tests:

1. **The user's files stay as and where they are.** They are linked, or copied, never moved.
2. **Nothing passes for official that was not proved so**, by size and every published digest.
   All else needs ``unverified``, and every pack made from it says so.
3. **What is missing is said exactly**: which split, which file, what for, how many samples, which
   classes are short.
4. **Only what can match is opened**: a folder with a million other files costs a look at names.
5. **A bundle needs no network**: ``unbundle`` proves what ``bundle`` and ``write`` packed.
6. **Every layout of the same pictures gives the same samples**: keys, order, digests.
"""

from dsets.adopt.bundling import Bundle, bundle, write
from dsets.adopt.job import Adopted, adopt, foreseen
from dsets.adopt.parts import Chosen, Lack, Official, Plan, Stranger, Tree
from dsets.adopt.planning import plan
from dsets.adopt.unbundling import Opened, look, unbundle
from dsets.adopt.variant import left, remove, settle

__all__ = [
    "Adopted",
    "Bundle",
    "Chosen",
    "Lack",
    "Official",
    "Opened",
    "Plan",
    "Stranger",
    "Tree",
    "adopt",
    "bundle",
    "foreseen",
    "left",
    "look",
    "plan",
    "remove",
    "settle",
    "unbundle",
    "write",
]
