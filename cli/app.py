"""The command group and the one place where errors become exit codes.

0: fine. 1: a DsetsError, or verification found something. 2: wrong usage. 3: a subset was made, and
some of its images could not be had. 130: interrupted; 143: told to end by SIGTERM.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from dsets.errors import DsetsError

from ._text import plain

#: Command → the module beside this one that has it as ``command``, and its line in the list; in the
#: order of the work.
COMMANDS = {
    "list": ("list_", "The datasets that have a manifest."),
    "show": ("show", "What a dataset is and what of it is here; what a pack holds."),
    "fetch": ("fetch", "A name becomes raw files, proved by their digests."),
    "subset": ("subset", "Only the images of some classes become a dataset of their own."),
    "adopt": ("adopt", "Files that you have become raw files, wherever they lie."),
    "bundle": (
        "bundle",
        "Raw files, manifest and terms in one tar, for machines without a network.",
    ),
    "remove": ("remove", "Remove a dataset's raw files from the store."),
    "verify": ("verify", "Prove raw files or packs right, or say what is wrong."),
    "plan": ("plan", "Measure what fetching and preparing a dataset will take."),
    "prepare": ("prepare", "Raw files become sharded packs, one Dask task a shard."),
    "repair": ("repair", "Make the damaged files of a pack again, to the same bytes."),
    "stats": ("stats", "The exact statistics of a training pack's pixels."),
    "bench": ("bench", "Measure how fast a pack streams, and where the time goes."),
    "digest": ("digest", "The digest of a pack's epochs that any machine must reproduce."),
    "models": ("models", "The reference models, and one of them layer by layer."),
    "train": ("train", "Train a reference model on prepared packs."),
    "evaluate": ("evaluate", "What a run has learned: errors, confusions, pictures."),
    "why": ("why", "Where weights come from, link by link, back to the archive."),
    "demo": ("demo", "The whole main job, offline, on generated digits."),
}
#: What the machine refuses and the user can mend; any other OSError is our bug, with a traceback.
REFUSALS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EISDIR,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


class LazyGroup(click.Group):
    """Imports a command's module when it is run, and none at all for ``dsets --help``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[cmd_name][0]}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dsets")
def group() -> None:
    """From a dataset's name to a busy GPU, with every byte accounted for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    shown, warnings.showwarning = warnings.showwarning, _warn
    ended: list[int] = []
    try:
        with _ending(ended):
            result = group.main(
                args=None if argv is None else list(argv), prog_name="dsets", standalone_mode=False
            )
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("dsets: interrupted; the same command goes on from here", err=True)
        return 143 if ended else 130
    except DsetsError as error:
        click.echo(plain(f"dsets: error: {error}"), err=True)
        return 1
    except MemoryError as error:
        what = plain(f" ({error})" if str(error) else "")
        click.echo(
            f"dsets: error: not enough memory{what}; let this process have more: its limit "
            "(ulimit, a container's) or the machine has too little",
            err=True,
        )
        return 1
    except BrokenPipeError:
        # The reader of a pipe left (`dsets list | head`): point stdout at nothing, or the
        # interpreter complains about it while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"dsets: error: {where}{error.strerror}", err=True)
        return 1
    finally:
        warnings.showwarning = shown


@contextmanager
def _ending(ended: list[int]) -> Iterator[None]:
    """Take SIGTERM, with which schedulers end jobs, as Ctrl-C: what runs cleans up after itself.

    ``ended`` gets it. Where somebody else has decided about the signal nothing changes.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, _: object) -> None:
        ended.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as an error is said, without the line of code that gave it."""
    click.echo(plain(f"dsets: warning: {message}"), err=True)
