"""Thousands of files of one kind, described once: a family.

    [[family]]
    name = "train{number}.tfrecord"         # in the store: numbers from 0, all of the same width
    count = 3844
    published = "train{code}.tfrecord"      # where they are published: the number in base 62
    alphabet = "abc…xyzABC…XYZ0123456789"   # of the code, the first letter being 0
    called = "video"                        # may stand before a name: video_train00.tfrecord
    folders = ["http://us.data.yt8m.org/2/video/train/"]
    listing = "video_train.json"            # the file that has their digests
    about_bytes = 18000000000               # of all of them together, where no size is published

A split's ``files`` may name a family, and means all its files. ``numbers``, which ``adopt`` writes,
are those that there are, where it isn't all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, urlsplit


@dataclass(frozen=True)
class Family:
    """``name`` and ``published`` are templates with ``{number}`` and ``{code}`` in them."""

    name: str
    count: int
    published: str
    alphabet: str
    called: str = ""
    folders: tuple[str, ...] = ()
    listing: str = ""
    about_bytes: int | None = None
    numbers: tuple[int, ...] | None = None

    @property
    def present(self) -> tuple[int, ...]:
        """The numbers of the files that there are."""
        return tuple(range(self.count)) if self.numbers is None else self.numbers

    def file_name(self, number: int) -> str:
        """The name in the store: ``train0007.tfrecord``."""
        return self.name.replace("{number}", f"{number:0{self._width}d}")

    def published_name(self, number: int) -> str:
        """The name where it is published: ``trainah.tfrecord``."""
        return self.published.replace("{code}", self._code(number))

    def addresses(self, number: int) -> tuple[str, ...]:
        name = quote(self.published_name(number))
        return tuple(f"{folder}{name}" for folder in self.folders)

    def below(self, number: int) -> tuple[str, ...]:
        """Where it may lie below a mirror: as in the publisher's tree, or by that name alone."""
        name = self.published_name(number)
        trees = (urlsplit(folder).path.strip("/") for folder in self.folders[:1])
        return (*(f"{tree}/{name}" for tree in trees if tree), name)

    def number(self, name: str) -> int | None:
        """The number of the file of this name, in the store or as published; None for no file."""
        if found := self._numbered.fullmatch(name):
            return int(found[1]) if int(found[1]) < self.count else None
        if found := self._coded.fullmatch(name):
            number = 0
            for letter in found[1]:
                number = number * len(self.alphabet) + self.alphabet.index(letter)
            return number if number < self.count else None
        return None

    def in_part(self, number: int, part: int, parts: int) -> bool:
        """Whether a file is of the part ``part`` (from 1) of so many: by the md5 of its published
        name, as the publishers' own script divides them."""
        digest = hashlib.md5(self.published_name(number).encode(), usedforsecurity=False)
        return int(digest.hexdigest(), 16) % parts == part - 1

    def names(self) -> Iterator[str]:
        """The names in the store of those that there are."""
        return map(self.file_name, self.present)

    def _code(self, number: int) -> str:
        letters = []
        for _ in range(self._letters):
            number, digit = divmod(number, len(self.alphabet))
            letters.append(self.alphabet[digit])
        return "".join(reversed(letters))

    @cached_property
    def _width(self) -> int:
        return len(str(self.count - 1))

    @cached_property
    def _letters(self) -> int:
        letters = 1
        while len(self.alphabet) ** letters < self.count:
            letters += 1
        return letters

    @cached_property
    def _numbered(self) -> re.Pattern[str]:
        return self._pattern(self.name, "{number}", f"[0-9]{{{self._width}}}")

    @cached_property
    def _coded(self) -> re.Pattern[str]:
        code = f"[{re.escape(self.alphabet)}]{{{self._letters}}}"
        return self._pattern(self.published, "{code}", code)

    def _pattern(self, template: str, mark: str, what: str) -> re.Pattern[str]:
        before, _, after = template.partition(mark)
        called = f"(?:{re.escape(self.called)}[_.-])?" if self.called else ""
        return re.compile(f"{called}{re.escape(before)}({what}){re.escape(after)}")
