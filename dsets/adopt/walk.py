"""Every file below the paths that the user named: each folder once, no loops, nothing opened."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dsets import store
from dsets.errors import UsageError

_OURS = "lies in the store already; what is to be adopted lies outside"


class Seen(NamedTuple):
    """A regular file. ``top`` is the user's path that led here; ``named``: it is the very file."""

    top: str
    folder: str
    name: str
    named: bool = False

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)


class Walk:
    """Iterates over the files; ``notes`` then has a line for each thing that was left out.

    Links are followed, real folders first, so that a folder reached twice counts under its own
    name. What lies in the store is left out: it would be linked to itself.

    Raises:
        UsageError: a path does not exist.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.notes: list[str] = []
        self._tops = [os.path.abspath(path) for path in paths]
        for top in self._tops:
            if not os.path.lexists(top):
                raise UsageError("no such file or folder", where=top)
        home = store.home()
        self._ours = [os.path.realpath(home / name) for name in ("raw", "packs", "runs")]
        self._visited: set[tuple[int, int]] = set()

    def __iter__(self) -> Iterator[Seen]:
        links: deque[tuple[str, str]] = deque()
        for top in self._tops:
            if os.path.isdir(top):
                yield from self._below(top, top, links)
            elif not os.path.exists(top):
                self.notes.append(f"{top}: a link to nowhere")
            elif not os.path.isfile(top):
                self.notes.append(f"{top}: neither a file nor a folder")
            elif self._in_store(top):
                self.notes.append(f"{top}: {_OURS}")
            else:
                folder, name = os.path.split(top)
                yield Seen(top, folder, name, True)
        while links:
            top, path = links.popleft()
            yield from self._below(top, path, links)

    def _below(self, top: str, start: str, links: deque[tuple[str, str]]) -> Iterator[Seen]:
        if self._in_store(start):
            self.notes.append(f"{start}: {_OURS}")
            return
        waiting = [start]
        while waiting:
            folder = waiting.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in self._visited:
                    continue
                self._visited.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    inside = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self.notes.append(f"{folder}: cannot be read ({error.strerror})")
                continue
            for entry in inside:
                kind = self._kind(entry)
                if kind == "link":
                    links.append((top, entry.path))
                elif kind == "folder":
                    waiting.append(entry.path)
                elif kind == "file":
                    yield Seen(top, folder, entry.name)

    def _kind(self, entry: os.DirEntry[str]) -> str:
        """What an entry is to us; nothing at all for pipes, devices, and links to nowhere."""
        try:
            if entry.is_dir():
                if entry.is_symlink():
                    return "link"
                return "" if os.path.realpath(entry.path) in self._ours else "folder"
            if not entry.is_file():
                return ""
            return "" if entry.is_symlink() and self._in_store(entry.path) else "file"
        except OSError as error:
            self.notes.append(f"{entry.path}: cannot be read ({error.strerror})")
            return ""

    def _in_store(self, path: str) -> bool:
        """Whether a path leads into the store, or is a link that lies there."""
        ends = (os.path.realpath(path), os.path.realpath(os.path.dirname(path)))
        return any(
            end == ours or end.startswith(ours + os.sep) for ours in self._ours for end in ends
        )
