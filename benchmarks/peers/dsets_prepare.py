"""The real thing: `prepare.run` of an adopted archive, with statistics, digests and flushing.

    python dsets_prepare.py FOLDER OUT native|pillow|portable fast|exact SHARD_MIB

FOLDER.home is a store that has adopted the pictures of FOLDER as a tar of tars.
`pillow` is what an installation does that had no headers of libjpeg-turbo, `portable` one without
the C extension.
"""

import os
import sys
import time
from pathlib import Path

if sys.argv[3] == "portable":
    sys.modules["dsets._native"] = None  # type: ignore[assignment]  # importing it fails

import h5py  # type: ignore[import-untyped]  # noqa: F401  # no tool's imports are timed
import pandas as pd  # noqa: F401
import PIL.Image
from pillow_crop import processor_s

from dsets import codecs, extension, prepare
from dsets import pipeline as pipelines
from dsets.manifest.adopted import current
from dsets.prepare import cluster, task  # noqa: F401


def main() -> None:
    folder, out, path, profile, shard_mib = sys.argv[1:6]
    if path == "pillow":
        extension.jpeg = False
    if extension.jpeg != (path == "native") or (extension.native is None) != (path == "portable"):
        raise SystemExit(f"the extension is not as asked for: {path}")
    os.environ["DSETS_HOME"] = f"{folder}.home"
    PIL.Image.preinit()
    alexnet = sys.modules[pipelines.load("alexnet").make.__module__]
    alexnet.PROFILE = codecs.profile(profile)  # type: ignore[attr-defined]
    imagenet = current("imagenet")
    plan = prepare.plan(
        imagenet, splits=["train"], out=Path(out, "pack"), shard_bytes=int(shard_mib) << 20
    )
    begin, spent = time.perf_counter(), processor_s()
    (index,) = prepare.run(plan)
    print(time.perf_counter() - begin, processor_s() - spent)
    print(index.digest, file=sys.stderr)


if __name__ == "__main__":
    main()
