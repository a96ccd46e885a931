"""Remote packs: shards are fetched when, or before, they are needed, and kept in a local cache.

    pack = Pack.open("s3://bucket/imagenet-train")      # or https://…, gs://…

1. The index is read as strictly as a local one, and no byte of a shard is used before its sha256
   was found to be the one that the index names.
2. Of all processes that want a shard, one fetches it. A cut or killed fetch leaves a ``*.part``,
   which the next one goes on with.
3. The cache stays within its size. What is removed is what was not used for longest; never what a
   process holds, and never a file that dsets did not put there itself.
4. What is in the cache is used without asking anyone, with ``$DSETS_OFFLINE`` the index too.
"""

from dsets.remote.opening import open, verify
from dsets.remote.pack import RemotePack

__all__ = ["RemotePack", "open", "verify"]
