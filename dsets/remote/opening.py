"""Opening a remote pack: its index, as it is now, or as it was when nobody may be asked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from dsets.errors import FetchError, OfflineError, PackError, SpaceError, UsageError
from dsets.fetch import Patience, is_offline, shown
from dsets.fetch.job import OFFLINE
from dsets.fetch.objects import LIBRARIES, filesystem, scheme
from dsets.fetch.receipts import receipt_path
from dsets.fetch.sessions import Sessions
from dsets.fetch.stop import Stop
from dsets.locks import holding
from dsets.manifest import File
from dsets.pack import Problem, index, strict
from dsets.pack.schema import INDEX, Index
from dsets.pack.verification import walk
from dsets.progress import Progress, ignore
from dsets.remote import cache, shards
from dsets.remote.pack import RemotePack
from dsets.remote.patience import Patiences

SCHEMES = ("http", "https", *LIBRARIES)


def open(
    address: str,
    *,
    folder: Path | None = None,
    limit: int | None = None,
    patience: Patience | None = None,
) -> RemotePack:
    """The pack at an address of http, https, s3 or gs. Reads the index, no shard.

    Args:
        folder: the cache; by default ``$DSETS_CACHE``, or ``remote`` in ``$DSETS_HOME``.
        limit: its size in bytes; by default ``$DSETS_CACHE_SIZE``, or none.
        patience: with the server; by default little here, and minutes where a stream, or
            ``pack[i]``, waits for a shard.

    Raises:
        UsageError: no such kind of address, or no such limit.
        FetchError: the index cannot be had; OfflineError where nobody may be asked.
        PackError: it is damaged, hostile, or of an unknown version.
        MissingLibraryError: ``s3fs`` or ``gcsfs`` is not installed.
    """
    _check(address)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UsageError(
            "bad limit of the cache", where="limit", expected="a number of bytes", got=repr(limit)
        )
    if scheme(address) in LIBRARIES and not is_offline():
        filesystem(address)  # says what is missing
    root = cache.folder() if folder is None else Path(folder).absolute()
    kept = cache.Cache(root, cache.limit() if limit is None else limit)
    kinds = Patiences.of(patience)
    with cache.usable(root):
        content = _index(address, root, kinds.opening)
    return RemotePack(address, content, kept, kinds)


def _check(address: str) -> None:
    if scheme(address) not in SCHEMES:
        raise UsageError(
            "no address of a pack",
            where=shown(address),
            expected=f"one that begins with {', '.join(f'{one}://' for one in SCHEMES)}",
            got=repr(address.partition("://")[0] + "://"),
        )
    host = address.partition("://")[2]
    if host[:1] in ("", "/", "?", "#"):
        kind = "bucket" if scheme(address) in LIBRARIES else "host"
        raise UsageError(
            f"an address without a {kind}",
            where=address.partition("?")[0],
            expected=f"{scheme(address)}://{kind}/folder",
        )
    if "#" in address and scheme(address) not in LIBRARIES:
        remedy = "leave it out, or write %23 for a # that belongs to a name"
        raise UsageError("an address with a fragment", where=shown(address), remedy=remedy)


def _index(address: str, root: Path, patience: Patience) -> Index:
    name = hashlib.sha256(address.encode()).hexdigest()
    place = root / "index" / name
    kept = place / INDEX
    where = shards.below(shown(address), INDEX)
    if is_offline():
        try:
            return index.parse(kept.read_bytes(), where)
        except FileNotFoundError:
            raise OfflineError(
                "offline, and never opened before",
                where=shown(address),
                expected=f"its index in the cache {root}",
                remedy=f"unset {OFFLINE}, or name the cache in which the pack is ({cache.FOLDER})",
            ) from None
    if _read_only(place, root):
        with TemporaryDirectory(prefix="dsets-index-") as folder:
            fresh = _fetched(address, Path(folder), patience, kept)
            return index.parse(fresh.read_bytes(), where)
    place.parent.mkdir(parents=True, exist_ok=True)
    with holding(place, folder=True):
        fresh = _fetched(address, place, patience, kept)
        content = index.parse(fresh.read_bytes(), where)  # before it takes the place of the old one
        os.replace(fresh, kept)
        receipt_path(fresh).unlink(missing_ok=True)
    return content


def _read_only(place: Path, root: Path) -> bool:
    """Whether there is a cache in which no index can be put: the shards in it may be used."""
    here = next((one for one in (place, place.parent, root) if one.is_dir()), None)
    return here is not None and not os.access(here, os.W_OK)


def _fetched(address: str, folder: Path, patience: Patience, kept: Path) -> Path:
    """The index as it is now, in a file in ``folder``; ``kept`` is where that of before may be."""
    fresh = folder / "fresh.json"
    for old in (fresh, receipt_path(fresh), fresh.with_name("fresh.json.part")):
        old.unlink(missing_ok=True)
    file = File(fresh.name, (shards.below(address, INDEX),))
    try:
        with closing(Sessions()) as sessions:
            shards.bring(file, fresh, Stop(), patience, sessions, shards.at_most(strict.BYTES))
    except SpaceError:
        raise
    except FetchError as error:
        remedy = "check the address, and that you may read there"
        if kept.is_file():
            remedy += f"; with {OFFLINE}=1 what is in the cache, the index too, goes on working"
        raise FetchError(
            "no pack here",
            where=shown(address),
            expected=f"a folder with {INDEX}",
            got=f"{error.what}: {error.got}",
            remedy=remedy,
        ) from error
    return fresh


def verify(
    address: str,
    progress: Progress = ignore,
    *,
    deep: bool = False,
    renewed: Callable[[str], object] = lambda name: None,
) -> list[Problem]:
    """As ``dsets.pack.verify``, shard by shard: what is not in the cache is fetched.

    What is damaged in the cache is fetched again before the address is blamed; ``renewed`` is told
    the names of such files.

    Raises:
        SpaceError: the cache has no room for one shard.
        OfflineError: something is missing and nobody may be asked.
    """
    try:
        pack = open(address)
    except PackError as error:
        return [Problem(INDEX, str(error).removeprefix(f"{shown(address)}: "))]

    def renew(name: str) -> bool:
        if again := pack.renew(name):
            renewed(name)
        return again

    with pack:
        written = index.render(pack.index)
        return walk(
            lambda: pack,
            pack.path,
            pack.index,
            written,
            progress,
            deep=deep,
            having=pack.having,
            renew=renew,
        )
