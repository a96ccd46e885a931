"""Object stores, through fsspec: a part is filled by ranged reads and judged like any other."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from dsets.errors import MissingLibraryError
from dsets.fetch import answers
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.part import Part
from dsets.fetch.sources import printable

#: Scheme → the library that fsspec needs for it, which is also the name's extra of dsets.
LIBRARIES = {"s3": "s3fs", "gs": "gcsfs"}
BLOCK = 1 << 23  # bytes a request: each costs a round trip
FORBIDDEN = "may not be read; check your credentials"


def scheme(address: str) -> str:
    return address.partition("://")[0].lower()


def filesystem(address: str) -> Any:
    """The fsspec file system of an ``s3://`` or ``gs://`` address.

    Raises:
        MissingLibraryError: its library is not installed.
    """
    import fsspec  # type: ignore[import-untyped]

    kind = scheme(address)
    try:
        return fsspec.filesystem(kind)
    except ImportError as error:
        raise MissingLibraryError(
            f"{kind}:// needs {LIBRARIES[kind]}",
            where=printable(address, 300),
            remedy=f"pip install 'dsets[{kind}]'",
        ) from error


def attempt(address: str, part: Part, wire: Any) -> None:
    """Fill the part from its end on. Raises Refused or Cut, like ``transfer.attempt``."""
    from dsets.fetch.transfer import take

    store = filesystem(address)
    address = scheme(address) + address[address.index("://") :]  # fsspec knows no GS://
    if part.size and not part.file.digest:
        part.clear()
    try:
        wire.stop.check()
        store.invalidate_cache()
        total = part.told = int(_awaited(store, store._info(address), wire)["size"])
        answers.check_length(part.file, total)
        if part.size > total:
            part.clear()
        while part.size < total:
            wire.stop.check()
            end = min(total, part.size + BLOCK)
            data = _awaited(store, store._cat_file(address, start=part.size, end=end), wire)
            if not data:
                raise Cut(f"the answer ended after {part.size} of {total} bytes")
            take(part, data, wire)
    except FileNotFoundError:
        raise Refused("no such object") from None
    except PermissionError:
        raise Refused(FORBIDDEN) from None
    except ImportError as error:
        raise Refused(printable(str(error))) from None
    except Exception as error:
        if isinstance(error, Refused | Cut) or type(error).__module__.startswith("dsets."):
            raise
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of our own disk
        if str(error).startswith("Forbidden") or getattr(error, "code", None) == 401:  # gcsfs's own
            raise Refused(FORBIDDEN) from None
        if "credentials" in str(error).lower():
            raise Refused(printable(str(error))) from None
        raise Cut(printable(f"{type(error).__name__}: {error}")) from None


def _awaited(store: Any, answer: Coroutine[Any, Any, Any], wire: Any) -> Any:
    """What it brings, on fsspec's event loop; its own waiting goes on for minutes after a stop."""
    import asyncio
    from concurrent.futures import CancelledError

    future = asyncio.run_coroutine_threadsafe(answer, store.loop)
    try:
        with wire.stop.waking(lambda: future.cancel()):
            return future.result()
    except CancelledError:
        wire.stop.check()
        raise
    finally:
        future.cancel()
