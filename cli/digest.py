"""``dsets digest``: the golden-epoch digest that any machine must reproduce."""

from __future__ import annotations

import json

import click

from ._text import plain


@click.command()
@click.argument("path", metavar="PACK", type=click.Path())
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--batch-size", type=click.IntRange(1, 2**31 - 1), default=256, help="Changes nothing."
)
@click.option("--threads", type=click.IntRange(1, 256), help="Changes nothing.")
@click.option("--expect", metavar="DIGEST", help="Exit with 1 unless this comes out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with a digest for each epoch.")
def command(
    path: str,
    seed: int,
    epochs: int,
    batch_size: int,
    threads: int | None,
    expect: str | None,
    as_json: bool,
) -> int:
    """Stream a pack and print the digest of its golden epochs.

    It is the sha256 of keys, random choices and cropped, mirrored pixels of all samples in the
    order of their epochs: the same on any machine, with any batch size, number of ranks or
    threads, with or without the C extension. Where two runs disagree, --json tells which epoch
    differs. Bytes are taken as they lie there, damaged ones too: 'dsets verify --deep PACK' tells
    of those.
    """
    from dsets.pack import Pack
    from dsets.stream import golden

    pack = Pack.open(path)
    found = golden.digest(pack, seed, epochs, batch_size=batch_size, threads=threads)
    if as_json:
        data = {"digest": found.digest, "seed": seed, "epochs": list(found.epochs)}
        click.echo(json.dumps({**data, "samples": len(pack)}, indent=2))
    else:
        click.echo(found.digest)
    if expect is not None and expect.lower() != found.digest:
        click.echo(f"dsets: digest differs: expected {plain(expect)}", err=True)
        return 1
    return 0
