"""The stream: an order, threads that make its batches ahead, and the state of who takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from dsets.closing import Closing
from dsets.errors import StreamError, UsageError
from dsets.field import Field
from dsets.numbers import pair, written
from dsets.pack import Pack
from dsets.stream import device as devices
from dsets.stream import plan, readable, room, state, substitutes
from dsets.stream.assembly import Assembly, Made
from dsets.stream.batch import Batch
from dsets.stream.crew import Crew
from dsets.stream.options import Options, Rarer
from dsets.stream.order import Order
from dsets.stream.plan import Job
from dsets.stream.prefetch import Prefetch
from dsets.stream.readahead import ReadAhead
from dsets.stream.state import Key, State
from dsets.stream.substitutes import Substitutes
from dsets.stream.tally import Tally
from dsets.stream.window import Window
from dsets.transforms import recipe
from dsets.transforms.recipe import Transform

if TYPE_CHECKING:
    from dsets.remote.ahead import Ahead

DEFAULT = Options()
#: Batches made before the consumer asks for them. Threads beyond that make one together.
AHEAD = 2


def batches(
    pack: Pack,
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool | Window = True,
    transform: Sequence[Transform] = (),
    rank: tuple[int, int] = (0, 1),
    device: str | None = None,
    **rarer: Unpack[Rarer],
) -> Stream:
    """The batches of a pack, epoch after epoch.

    Args:
        batch_size: samples a batch, of all ranks together.
        seed: 0 to 2**32 - 1; fixes order and random choices.
        shuffle: False gives the pack's own order, 0 … n - 1; a ``Window`` shuffles within windows,
            for packs on storage where random access is dear.
        transform: see ``dsets.transforms``.
        rank: (this rank, number of ranks).
        device: None for NumPy arrays, "cpu" or "cuda" for torch tensors there.
        rarer: ``drop_last``, ``verify``, ``unreadable`` and ``threads``, see ``Options``.

    Raises:
        UsageError: arguments that cannot be meant.
        MissingLibraryError: a device is given and torch is not installed.
    """
    others = ("seed", "shuffle", "transform", "rank", "device")
    options = Options.of("batches", rarer, others)
    order = order_of(pack, batch_size, seed, shuffle, rank, options)
    return Stream(pack, order, transform, device=device, options=options)


def order_of(
    pack: Pack,
    batch_size: int,
    seed: int,
    shuffle: bool | Window,
    rank: tuple[int, int],
    options: Options,
) -> Order:
    """The order that ``batches`` of these arguments has."""
    given = pair(rank)
    if given is None:
        raise UsageError("bad rank", where="stream", expected="(rank, ranks)", got=written(rank))
    if not isinstance(pack, Pack):
        remedy = "dsets.Pack.open(path) opens a pack, dsets.load(name) all of a dataset's"
        raise UsageError(
            "not a pack", where="stream", expected="a Pack", got=written(pack), remedy=remedy
        )
    if not isinstance(shuffle, bool | Window):
        expected = "True, False or Window()"
        raise UsageError("bad shuffle", where="stream", expected=expected, got=written(shuffle))
    key = Key(pack.samples_digest, seed, shuffle)
    return Order(len(pack), key, batch_size, options.drop_last, *given)


class Stream(Closing):
    """Iterable of batches. Each ``for`` gives the rest of the current epoch; then the next begins,
    also where the loop is left at the last batch.

    One consumer at a time. Threads start with the first batch and work ahead, into the next epoch
    too; they end when a loop is left early, with ``close``, and when the stream is dropped.
    """

    def __init__(
        self,
        pack: Pack,
        order: Order,
        transform: Sequence[Transform] = (),
        *,
        device: str | None = None,
        options: Options = DEFAULT,
        fields: Sequence[Field] | None = None,
    ) -> None:
        """As ``batches``; whether a short last batch is left out, the order says. ``fields`` are
        those of the pack that are read, by default all."""
        if order.n != len(pack) or order.key.samples_digest != pack.samples_digest:
            raise UsageError("the order is of another pack", where="stream", got=written(pack))
        if not order.n:
            raise UsageError("the pack has no samples", where="stream", got=written(pack))
        self._order = order
        self._threads = options.threads_here
        fields = pack.fields if fields is None else fields
        parsed = recipe.parse(transform, fields)
        # Functions of the user's are each called by one thread alone: so that all threads have one,
        # each has a batch.
        self._ahead = max(AHEAD, self._threads) if parsed.functions else AHEAD
        self._substitutes = Substitutes(
            pack,
            readable.of(pack),
            order.key.seed,
            options.verify,
            substitutes.policy(options.unreadable, order.key.shuffle),
        )
        self._assembly = Assembly(
            parsed,
            fields,
            devices.of(device),
            self._substitutes,
            order.rows_a_batch,
            # those ahead, the one just taken and the one it replaces in the consumer's loop
            self._ahead + 2,
        )
        self._state = State(0, order.first)
        self._pack = pack
        self._fetching: Ahead | None = None
        self._tally = Tally(pack, order, self._substitutes)
        self._prefetch: Prefetch[Job, Made] | None = None
        self._closed = False
        self._taking = threading.Lock()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise UsageError(
            "a stream cannot be copied or pickled",
            where="stream",
            remedy="take its state_dict() to another one, or as_iterable(…) to a DataLoader",
        )

    @property
    def epoch(self) -> int:
        """The epoch of the batch that comes next."""
        return self._state.epoch

    @property
    def position(self) -> int:
        """Where in the epoch the next batch starts: samples delivered, to all ranks."""
        return self._state.position

    def __len__(self) -> int:
        """Batches in a whole epoch, the same on every rank."""
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        if self._closed:
            raise StreamError("the stream is closed", remedy="make another one")
        if self._state.epoch > state.LAST_EPOCH:
            raise StreamError("there are no more epochs", where="stream", got=self._state.epoch)
        return self._rest_of_epoch()

    def _rest_of_epoch(self) -> Iterator[Batch]:
        epoch = self._state.epoch
        left_early = True
        try:
            while self._state.epoch == epoch and not self._order.over(self._state.position):
                yield self._next()  # nothing here may hold on to the batch
            left_early = False
        finally:
            # Left at its last batch, by zip or break, it was not left early: nothing remains of it.
            if self._state.epoch == epoch and self._order.over(self._state.position):
                self._state = State(epoch + 1, self._order.first)
            elif left_early:
                self._stop()

    def _next(self) -> Batch:
        if self._prefetch is not None and self._prefetch.forked:
            self._taking = threading.Lock()  # the parent's may have been held at the fork
        if not self._taking.acquire(blocking=False):
            remedy = "take batches in one thread, and hand them to the others"
            raise StreamError("another thread is taking a batch", where="stream", remedy=remedy)
        try:
            return self._taken()
        finally:
            self._taking.release()

    def _taken(self) -> Batch:
        if self._closed:
            raise StreamError("the stream was closed within its loop")
        try:
            prefetch, fetching = self._prefetch, self._fetching
            if prefetch is None or prefetch.forked:
                prefetch, fetching = self._begun()
            while not prefetch.ready and self._assembly.get_ready():
                pass  # rather than to wait
            if self._order.over(self._order.following(self._state.position)):
                # With its last batch all of the epoch is read, and of batches of many shards only
                # some were looked at. Not once it is taken: threads begin another one then, with
                # memory that the consumer is about to give back.
                prefetch.wait()
                self._substitutes.readable.unchanged()
            batch = self._assembly.receive(prefetch.get())
        except Exception as error:
            if not self._closed or isinstance(error, StreamError):
                raise
            # What fails now does so because another thread has ended what it was waiting for.
            raise StreamError("the stream was closed while its next batch was awaited") from error
        if fetching is not None:
            fetching.passed(len(batch.index))
        self._tally.count(batch)
        self._state = State(batch.epoch, self._order.following(batch.position))
        return batch

    def _begun(self) -> tuple[Prefetch[Job, Made], Ahead | None]:
        """The threads that make batches, and those that fetch shards for them, if any need be."""
        self._assembly.after_fork()
        self._fetching = fetching = self._pack.ahead()
        self._assembly.stop = fetching.stop if fetching else None
        expect = fetching.expect if fetching else None
        interrupt = fetching.interrupt if fetching else None
        if fetching is not None:
            room.warn(self._pack, self._order, fetching.address, fetching.limit)
        jobs = plan.jobs(self._order, self._assembly.choose, self._state, expect)
        if fetching is None:
            jobs = ReadAhead(self._pack).jobs(jobs)
        self._assembly.crew = crew = Crew(-(-self._threads // self._ahead))
        make = self._assembly.make
        prefetch = Prefetch(jobs, make, self._threads, self._ahead, interrupt, crew)
        self._prefetch = prefetch
        if self._closed:  # by another thread, which may have looked before there was anything
            self._stop()
        return prefetch, fetching

    @property
    def substituted(self) -> int:
        """Rows delivered so far that show a substitute, not counting padding."""
        return self._tally.substituted

    @property
    def unreadable(self) -> dict[str, str]:
        """The samples of the pack that this process could not read so far, by key, and why."""
        return self._substitutes.found()

    def state_dict(self) -> dict[str, Any]:
        """The state after the batches delivered so far, as plain numbers and strings."""
        return state.dump(self._order.key, self._state)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where ``saved`` was taken. Batch size, ranks and threads may differ.

        Raises:
            StreamError: it belongs to other samples, another seed or kind of order, or is damaged.
        """
        loaded = state.load(saved, self._order.key, self._order.n)
        self._stop()
        self._state = loaded
        self._tally.began(loaded.epoch)

    def _stop(self) -> None:
        # Forgotten first: where an interrupt ends the waiting, nothing closed may stay behind.
        prefetch, self._prefetch = self._prefetch, None
        if prefetch is not None:
            prefetch.close()
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            fetching.close()

    def close(self) -> None:
        """End the threads; batches already taken stay valid. Idempotent."""
        self._closed = True
        self._stop()
