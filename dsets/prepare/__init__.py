"""Reader x pipeline → packs, by Dask: one task a shard.

    plan = prepare.plan(manifest)                # decides, touches nothing
    prepare.run(plan, workers=4)                 # acts

Promises, each with tests:

1. **Same bytes.** A plan gives the same files for any number of workers, threads and interruptions;
   nothing of the run (time, machine, number of workers) is in a pack.
2. **Nothing under a final name until it is whole.** A pack grows in ``<pack>.part``, and a rename
   ends the job. A finished pack is never replaced unless that is asked for.
3. **Nothing finished is lost.** After Ctrl-C, kill -9, a dead worker or a full disk the same plan
   goes on from the shards whose records and digests hold.
4. **Two jobs on one pack** do the work once.
5. **Bounded memory.** A worker holds two shards, one being decoded while the other is hashed and
   written; samples and pixels never pass through a scheduler; few tasks are in flight at a time.
"""

from dsets.prepare.events import ShardEvent
from dsets.prepare.folder import State, made, state
from dsets.prepare.job import run
from dsets.prepare.limit import Limit
from dsets.prepare.planning import PackPlan, Plan, plan
from dsets.prepare.room import check_index, peak_bytes

__all__ = [
    "Limit",
    "PackPlan",
    "Plan",
    "ShardEvent",
    "State",
    "check_index",
    "made",
    "peak_bytes",
    "plan",
    "run",
    "state",
]
