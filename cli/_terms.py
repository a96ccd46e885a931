"""Licence and access on stderr before the first byte, and the word that some datasets want."""

from __future__ import annotations

import sys

import click

from dsets.errors import TermsError
from dsets.fetch import terms
from dsets.manifest import Manifest

from ._text import plain


def show(manifest: Manifest) -> None:
    """The terms as they are recorded, line by line."""
    click.echo(plain(manifest.title), err=True)
    for line in terms.of(manifest).text.splitlines():
        click.echo(plain(line), err=True)


def agree(manifest: Manifest, *, given: bool, how: terms.How, quiet: bool) -> None:
    """Show the terms and record that they were accepted; ask where a word is wanted.

    Raises:
        TermsError: nobody accepted them.
    """
    terms.accept(manifest, asked(manifest, given=given, how=how, quiet=quiet))


def asked(manifest: Manifest, *, given: bool, how: terms.How, quiet: bool) -> terms.How:
    """How the terms were accepted; they are shown, and nothing is recorded. Raises TermsError."""
    there = terms.accepted(manifest)
    explicit = terms.of(manifest).explicit and not given
    if not quiet or (explicit and not there):
        show(manifest)
    if explicit and not there:
        _ask(manifest)
    return "--accept-terms" if given else "asked" if explicit else how


def _ask(manifest: Manifest) -> None:
    click.echo("Do you accept these terms? [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline() if sys.stdin else ""
    if answer.strip().lower() not in ("y", "yes"):
        click.echo(err=True)
        raise TermsError(
            "its terms were not accepted, so nothing was fetched",
            where=manifest.name,
            got="no answer" if not answer else plain(answer.strip())[:40],
            remedy="read them above, then answer yes, or give --accept-terms",
        )
