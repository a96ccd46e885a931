"""What holds something until it is closed, in a ``with`` block or by hand."""

from __future__ import annotations

from typing import Self


class Closing:
    """Base of a class with ``close``: a ``with`` block gives the object itself and closes it."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
