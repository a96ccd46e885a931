"""Records a second out of YouTube-8M's TFRecord files, beside TensorFlow's own reader.

    python benchmarks/read_tfrecord.py --tensorflow PYTHON --rounds 7 --save

PYTHON is the interpreter of an environment that has TensorFlow. Everybody checks every checksum and
parses id, labels and features into arrays, from a warm page cache; ours in one thread, TensorFlow
in as many as it likes. The contestants are processes that alternate within a round. "Bare" reads
the file and checks the checksums alone: the most that a reader in one thread could reach.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import record  # noqa: E402

from tests.archive.records import example, framed, sequence  # noqa: E402

COUNTS = {"video": 20_000, "frame": 300}
NAMES = {
    "video": (("id", "labels", "mean_rgb", "mean_audio"), None),
    "frame": (("id", "labels"), ("rgb", "audio")),
}

#: Video level comes as columns of a block, as TensorFlow's batched parser has it.
KINDS = {"id": "u1", "labels": "i8", "mean_rgb": "f4", "mean_audio": "f4"}


def make(path: Path, level: str) -> None:
    """A file like the published ones: three labels a video, 120 to 300 frames."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        for number in range(COUNTS[level]):
            labels = np.sort(random.integers(0, 3862, 3))
            context = {"id": [b"%04d" % (number % 10_000)], "labels": labels}
            if level == "video":
                means = random.normal(size=1152).astype(np.float32)
                means = {"mean_rgb": means[:1024], "mean_audio": means[1024:]}
                file.write(framed(example({**context, **means})))
                continue
            frames = random.integers(0, 256, (int(random.integers(120, 301)), 1152), np.uint8)
            rows = [row.tobytes() for row in frames]
            lists = {"rgb": [[row[:1024]] for row in rows], "audio": [[row[1024:]] for row in rows]}
            file.write(framed(sequence(context, lists)))


def ours(path: Path, level: str, bare: bool) -> Iterator[int]:
    """How many records were read, a block at a time."""
    from dsets.archive import example as examples
    from dsets.archive import tfrecord

    with tfrecord.Records(path) as opened:
        for block in opened.blocks():
            if block.end or block.problems:
                raise SystemExit("the file is damaged")
            if bare:
                yield len(block)
                continue
            if level == "video":
                found = examples.columns(block.data, block.bounds, KINDS)
                if found.others or found.columns["mean_rgb"].rows() is None:
                    raise SystemExit("the records are not what was written")
                yield len(block)
                continue
            for parsed in examples.several(block.data, block.bounds, *NAMES[level]):
                if isinstance(parsed, Exception):
                    raise parsed
                yield 1


def serve(path: Path, level: str, how: str) -> None:
    if how == "python":
        from dsets import extension

        extension.native = None
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        count = sum(ours(path, level, how == "bare"))
        print(count / (time.perf_counter() - start), flush=True)


class Contestant:
    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._line()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()

    def rate(self) -> float:
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tensorflow", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--serve", nargs=3)
    if "--serve" in sys.argv:
        path, level, how = sys.argv[sys.argv.index("--serve") + 1 :]
        return serve(Path(path), level, how)
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for level in COUNTS:
            path = Path(folder) / f"{level}.tfrecord"
            make(path, level)
            us = (sys.executable, __file__, "--serve", str(path), level)
            peer = ROOT / "benchmarks" / "peers" / "tensorflow_records.py"
            racing = {
                "dsets": Contestant(*us, "native"),
                "dsets without the extension": Contestant(*us, "python"),
                "tensorflow": Contestant(given.tensorflow, str(peer), str(path), level),
                "bare": Contestant(*us, "bare"),
            }
            rates: dict[str, list[float]] = {name: [] for name in racing}
            for number in range(given.rounds + 1):  # the first one is not counted
                for name, one in racing.items():
                    rate = one.rate()
                    rates[name] += [rate] if number else []
            for one in racing.values():
                one.close()
            facts = {"records": COUNTS[level], "bytes": path.stat().st_size}
            for name, values in rates.items():
                what = f"{level}-level records by {name}"
                lines.append(record.line(what, "records/s", values, facts))
            for name in ("dsets", "dsets without the extension"):
                for beside in ("tensorflow", "bare"):
                    pairs = zip(rates[name], rates[beside], strict=True)
                    what = f"{level}-level records, {name} / {beside}"
                    lines.append(record.line(what, "ratio", [a / b for a, b in pairs], facts))
    for one in lines:
        print(f"{one['what']:60} {one['median']:>12,.2f} ({one['min']:,.2f} … {one['max']:,.2f})")
    if given.save:
        record.append("read_tfrecord", lines)
    return None


if __name__ == "__main__":
    main()
