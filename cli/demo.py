"""``dsets demo``: the whole main job, offline, through the same commands that users type.

The digits are drawn by integer arithmetic (``cli/digits.py``), served by a local HTTP server, and
from there on nothing knows that this is a demonstration. Its folder is a ``$DSETS_HOME`` of its
own, so a second run finds what the first one made, and removing the folder removes everything.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click

from dsets import manifest

from ._text import count, table

NAME = "digits"
MODEL = "lenet"
BATCH = 128
PLACES = {
    f"published/{NAME}": "the files as a publisher would offer them",
    f"raw/{NAME}": "the same, fetched and verified",
    f"packs/{NAME}/as_is": "one pack a split: shards, index, statistics",
    "runs": "checkpoint, log and result of the training",
}
NEXT = (
    f"dsets show {NAME}",
    f"dsets show {NAME} --samples",
    f"dsets verify $DSETS_HOME/packs/{NAME}/as_is",
    "dsets list",
    "dsets prepare mnist",
)


class Stopped(Exception):
    """A command of the demo ended with the exit code ``args[0]``."""


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where everything goes; run again, it goes on from what is there.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(out: Path, epochs: int, as_json: bool) -> int:
    """Run the whole main job offline: fetch, verify, prepare, stream, train.

    On a small dataset that dsets draws itself, served from this machine. Each stage says which
    command it is, so that you can go on by hand.
    """
    begun = time.monotonic()
    everything = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with _settings({"DSETS_HOME": str(out.absolute())}):
        try:
            with everything:
                figures = _stages(out, epochs)
        except Stopped as stopped:
            return int(stopped.args[0])
        figures["seconds"] = round(time.monotonic() - begun, 1)
        if as_json:
            click.echo(json.dumps(figures, indent=2))
        else:
            _tell(out, figures)
    return 0


def _stages(out: Path, epochs: int) -> dict[str, Any]:
    """Everything in turn; the figures to tell at the end."""
    published, packs = out / "published" / NAME, out / "packs" / NAME / "as_is"
    _stage("draw", "a small dataset of our own, in MNIST's format")
    _publish(published)
    with _serving(published) as address:
        _stage("fetch", "a name becomes raw files, proved by their digests")
        _run("fetch", NAME, "--mirror", address)
    _stage("verify", "what lies there is what the manifest says, sample by sample")
    _run("verify", NAME, "--deep")
    _stage("prepare", "raw files become sharded packs, one task a shard")
    _run("prepare", NAME, "--shard-size", "2MB")
    _run("stats", str(packs / "train"))
    _stage("stream", "packs become batches, in an order that the seed decides")
    figures: dict[str, Any] = {"samples_per_second": _stream(packs / "train")}
    _stage("train", "the proof that the stream works")
    if importlib.util.find_spec("torch") is None:
        _say("torch is not installed, so this stage is left out: pip install 'dsets[torch]'")
        return {**figures, "test_top1": None}
    run = out / "runs" / f"{MODEL}-{epochs}"
    _run("train", MODEL, str(packs), "--epochs", str(epochs), "--out", str(run))
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return {**figures, "test_top1": result["test"]["top1"]}


def _publish(folder: Path) -> None:
    """Draw the dataset, unless it lies there already."""
    digits = manifest.find(NAME)
    sizes = {file.name: file.bytes for file in digits.files}
    if all(_size(folder / name) == size for name, size in sizes.items()):
        _say(f"already there: {folder}")
        return
    from .digits import write

    _say(f"drawing {count(sum(split.samples for split in digits.splits))} digits …")
    write(folder)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _stream(path: Path) -> int:
    """One epoch, as a training loop would take it; samples a second."""
    import dsets

    _say(">>> import dsets")
    _say(f'>>> pack = dsets.Pack.open("{path}")')
    _say(f">>> for batch in dsets.stream.batches(pack, batch_size={BATCH}, seed=0): ...")
    with dsets.stream.batches(dsets.Pack.open(path), BATCH, seed=0) as stream:
        begun = time.perf_counter()
        for number, batch in enumerate(stream):
            if number < 3:
                images, labels = batch["image"], batch["label"]
                first = " ".join(str(label) for label in labels[:8])
                _say(f"image {images.dtype} {images.shape}, label {labels.shape}: {first} …")
        seconds = time.perf_counter() - begun
    rate = round(len(dsets.Pack.open(path)) / seconds)
    _say(f"… {count(len(stream))} batches in {seconds:.2f} s: {count(rate)} samples/s")
    return rate


def _run(*arguments: str) -> None:
    """One command, exactly as typed."""
    from .app import main

    _say(f"$ dsets {' '.join(arguments)}")
    if code := main(arguments):
        raise Stopped(code)


def _stage(word: str, meaning: str) -> None:
    click.secho(f"\n{word}: {meaning}", bold=True, err=True)


def _say(line: str) -> None:
    sys.stdout.flush()  # so that both streams stay in order where they end up in one place
    click.echo(line, err=True)


def _tell(out: Path, figures: Mapping[str, Any]) -> None:
    top1 = figures["test_top1"]
    told = "everything but training" if top1 is None else f"test accuracy {top1:.2%}"
    click.echo(f"\n{told}, {figures['samples_per_second']:,} samples/s, {figures['seconds']} s")
    click.echo(f"\neverything lies in {out}:")
    click.echo(table([(f"  {folder}", meaning) for folder, meaning in PLACES.items()]))
    click.echo("\nwhat to try next:")
    click.echo(f"  export DSETS_HOME={shlex.quote(str(out.absolute()))}")
    for line in NEXT:
        click.echo(f"  {line}")


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """A local HTTP server over ``folder`` while the block runs; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="dsets-demo-server")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the fetcher reports what matters."""


@contextmanager
def _settings(values: Mapping[str, str]) -> Iterator[None]:
    """Only these ``DSETS_…`` variables while the block runs: the demo touches no other home."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("DSETS_")}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update(before)
