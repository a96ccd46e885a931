"""Stream: a pack becomes batches, in a reproducible order, ahead of the consumer.

1. Order. An epoch is a keyed permutation of range(n), a pure function of (samples digest, seed,
   epoch), computed index by index in O(1) memory. The batch that starts at position p holds
   positions p … min(p + batch size, n) - 1; each rank takes its slice of them.
   Tests: test_promise_1 in test_permutation, test_order, test_stream, test_window.
2. State is (epoch, position) and the key of the order. It counts what the consumer has taken, not
   what was made ahead. A run stopped anywhere goes on with another number of ranks or threads or
   another batch size: each sample exactly once an epoch, none lost, none twice, counting valid
   rows.
   Tests: test_promise_2 in test_order, test_stream, test_window, test_distributed.
3. Equal ranks. Every rank gets the same number of batches, and in each the same number of rows,
   ceil(batch / ranks); rows that are padding are marked in ``batch.valid``.
   Tests: test_promise_3 in test_order, test_stream, test_window.
4. Random choices of a sample depend on (seed, epoch, the sample's key) and nothing else: not on
   batch size, rank, thread or machine.
   Tests: test_promise_4 in test_choices.
5. Unreadable samples: other bytes than their checksum says, no answer from storage, an image that
   does not decode. A substitute is shown: the first readable of the sample's keyed candidates, the
   same on any rank. ``batch.substituted`` marks it and promise 2 does not count it; the stream
   counts, lists and warns once. Without shuffling, or where asked for, it is an error. The number
   of batches never changes.
   Tests: test_promise_5 in test_unreadable, test_offsets, test_storage, test_encoded.
6. No debris. When the consumer stops early, fails, drops the stream or exits, no thread remains.
   Batches may be kept: memory is used again only when nothing refers to it any more.
   Tests: test_promise_6 in test_prefetch, test_consumers, test_kept, test_buffers, test_processes.
7. Window order (``shuffle=Window()``). Canonical lanes own contiguous ranges of samples, which are
   shuffled within windows; position p belongs to lane p mod lanes, and every rank gets the rows of
   the lanes that are at home in it, as far as promise 3 allows. The number of ranks changes what
   each of them reads, never the order. Lanes and window are part of the key; promises 1 to 3 hold
   as they are, with a rank's share in the place of its slice.
   Tests: test_promise_7 in test_window.
8. A shard that is cut short, written to or replaced while a stream reads it is a ``PackError``,
   never the end of the process.
   Tests: test_promise_8 in test_storage.
"""

from dsets.stream import quality
from dsets.stream.batch import Batch
from dsets.stream.options import Options
from dsets.stream.order import Order
from dsets.stream.ragged import Ragged
from dsets.stream.state import Key, State
from dsets.stream.stream import Stream, batches
from dsets.stream.window import Window
from dsets.stream.workers import as_iterable

__all__ = [
    "Batch",
    "Key",
    "Options",
    "Order",
    "Ragged",
    "State",
    "Stream",
    "Window",
    "as_iterable",
    "batches",
    "quality",
]
