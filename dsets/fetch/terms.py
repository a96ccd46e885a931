"""The terms of a dataset, and that somebody accepted them: kept in the store, by digest.

    $DSETS_HOME/terms/<dataset>.json    the text that was shown, its sha256, how and when accepted

Whoever fetches a dataset that is open to everybody accepts its terms by fetching, once they were
shown. One that is given after a login, on request, or was withdrawn wants a word of its own.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from dsets import store
from dsets.atomic import sweeping
from dsets.errors import TermsError
from dsets.manifest import Manifest

How = Literal["fetched", "asked", "--accept-terms", "accept_terms", "bundle"]
Accept = bool | Callable[["Terms"], bool]


class TermsWarning(UserWarning):
    """Shows the terms of a dataset that is open to everybody, once, before it is fetched."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What travels with the data: into packs, lock files and bundles."""

    licence: str
    access: str
    homepage: str
    attribution: str

    @property
    def text(self) -> str:
        """The same text for the same terms, a line each."""
        lines = (
            ("licence", self.licence),
            ("access", self.access),
            ("homepage", self.homepage),
            ("attribution", self.attribution),
        )
        return "".join(f"{key}: {value}\n" for key, value in lines if value)

    @property
    def sha256(self) -> str:
        """The digest of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def explicit(self) -> bool:
        """Whether a word of acceptance is wanted."""
        return self.access != "open"


@dataclass(frozen=True, slots=True)
class Acceptance:
    dataset: str
    sha256: str
    text: str
    how: str
    when: str


def of(manifest: Manifest) -> Terms:
    """The terms that a manifest states."""
    return Terms(manifest.licence, manifest.access, manifest.homepage, manifest.citation)


def path(dataset: str) -> Path:
    """Where the acceptance is kept. It stays when the files are removed."""
    return store.home() / "terms" / f"{dataset}.json"


def accepted(manifest: Manifest) -> Acceptance | None:
    """The acceptance of the very terms that the manifest states now, or None."""
    try:
        found = json.loads(path(manifest.name).read_bytes())
        one = Acceptance(
            **{key: str(found[key]) for key in ("dataset", "sha256", "text", "how", "when")}
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    right = (one.dataset, one.sha256) == (manifest.name, of(manifest).sha256)
    # An "open" dataset that was fetched is no word about the closed one it became: other terms.
    return one if right else None


def accept(manifest: Manifest, how: How) -> Acceptance:
    """Write down that the terms were accepted, unless that is written already."""
    if there := accepted(manifest):
        return there
    terms = of(manifest)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    made = Acceptance(manifest.name, terms.sha256, terms.text, how, when)
    with sweeping(path(manifest.name)) as part:
        part.write_text(json.dumps(asdict(made), indent=1) + "\n")
    return made


def agree(manifest: Manifest, word: Accept = False) -> None:
    """Show the terms and write their acceptance down, unless they were accepted before.

    ``word`` is the caller's, or a function that is shown the terms and gives it. Without
    one the terms of a dataset that is open are shown by a ``TermsWarning``.

    Raises:
        TermsError: a word of acceptance is wanted, or was refused.
    """
    if accepted(manifest):
        return
    terms = of(manifest)
    asked = callable(word)
    given = word(terms) if callable(word) else word
    if not given and (terms.explicit or asked):
        raise TermsError(
            "its terms were not accepted, so nothing was fetched",
            where=manifest.name,
            got="; ".join(terms.text.splitlines()),
            remedy="read them, then give accept_terms=True, or run 'dsets fetch'",
        )
    if not given:
        told = "; ".join(terms.text.splitlines())
        warnings.warn(f"terms of {manifest.name}: {told}", TermsWarning, stacklevel=3)
    accept(manifest, "asked" if asked else "accept_terms" if given else "fetched")
