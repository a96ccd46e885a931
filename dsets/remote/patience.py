"""How patient remote packs are with a server, by who waits for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dsets.fetch import Patience

#: A shard of a pack whose index was read does exist: wrong bytes may be a proxy's, a refusal that
#: of credentials which are just being changed.
REFUSALS = 2
#: What a run of days waits for outlives a server's restart and some minutes without a network. It
#: is bounded by time, not by tries: gcsfs and s3fs make several of each of ours.
_STEADY = Patience(pause_s=1.0, longest_pause_s=15.0, longest_wait_s=300.0, lasting_s=300.0)


@dataclass(frozen=True, slots=True)
class Patiences:
    """``opening``: for the index, with somebody who sits there. ``brief``: for what nobody needs
    yet, or one command. ``awaited``: for what a stream or ``pack[i]`` needs now."""

    opening: Patience
    brief: Patience
    awaited: Patience

    @classmethod
    def of(cls, given: Patience | None) -> Patiences:
        opening = given or Patience()
        brief, awaited = (
            replace(one, refusals=max(one.refusals, REFUSALS))
            for one in (opening, given or _STEADY)
        )
        return cls(opening, brief, awaited)
