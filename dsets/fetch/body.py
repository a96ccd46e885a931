"""An answer's body, read into memory that is there already."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from dsets.fetch.encoding import Inflated

if TYPE_CHECKING:
    from requests import Response


def beginning(response: Response, inflated: Inflated | None) -> Callable[[int], bytes]:
    """A function that reads what has arrived, at most so many bytes; none at the end."""
    if inflated:
        return inflated.read1
    return lambda size: response.raw.read1(size, decode_content=False)


def reader(response: Response, inflated: Inflated | None) -> Callable[[memoryview], int]:
    """A function that reads what has arrived, as much as fits, and says how much; 0 at the end.

    A cut loses nothing that came before it. It raises what urllib3 raises, or ConnectionError and
    TimeoutError.
    """
    raw = response.raw
    plain = getattr(raw, "_fp", None)
    stream = getattr(plain, "fp", None)
    if (
        inflated
        or not isinstance(plain, http.client.HTTPResponse)
        or not isinstance(stream, io.BufferedReader)
        or plain.chunked
        or plain.length is None
    ):
        read1 = beginning(response, inflated)

        def copied(block: memoryview) -> int:
            data = read1(len(block))
            block[: len(data)] = data
            return len(data)

        return copied

    # urllib3 and http.client make fresh bytes of every read. A body that is just so many bytes of
    # the connection can be had from its buffered stream, which reads past its own buffer.
    left = plain.length

    def straight(block: memoryview) -> int:
        nonlocal left
        if not left:
            return 0
        try:
            count = stream.readinto1(block[: min(left, len(block))])
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:  # of TLS
            raise ConnectionError(str(error)) from error
        if not count:
            raise ConnectionError("ended early")
        left -= count
        if not left:
            raw.release_conn()  # for the next file, which comes after this answer is closed
        return count

    return straight
