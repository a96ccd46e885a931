"""Reader of ImageNet (ILSVRC): pictures in a tar of tars, a tar, or folders, never unpacked.

    [split.train.reader]
    images = "ILSVRC2012_img_train.tar"   # what holds the pictures
    layout = "tar of tars"                # or "tar", "zip", "listing" (see _listing: loose files)
    pictures = "train"                    # of a zip, which has all kinds: or "val", "test"
    patches = "patch_images.tar"          # a tar of pictures that replace those of the same names
    classes = "archive"                   # where the manifest has none: those of the pictures
    boxes = ["ILSVRC2012_bbox_….tar.gz"]  # used if they are in the store, never demanded
    ilsvrc_ids = [449, …]                 # of the classes in order; in the training split, for all
    class_samples = [1300, …]             # pictures of each class, for adopt; nothing is read by it

A picture is known by its name (see _imagenet_names), whatever folders it lies in, and the order of
the table is the order of the names: every layout of the same pictures gives the same samples.

Training pictures carry their class in their name. The labels of those called by a number come from
one of these options, or are withheld:

    truth = "ILSVRC2012_devkit_t12.tar.gz"    # or the bare …_validation_ground_truth.txt; a
                                              # …_test_ground_truth.txt has those of test pictures
    solution = "LOC_val_solution.csv"         # Kaggle's, or the zip that has it
    labels = "folder"                         # each lies in a folder called after its class

A patch replaces the picture of its name, whatever folder of the patches it lies in; patches of
other kinds of pictures (training, val, test) are for other splits. A patch of a picture that the
published archive has not, or two of one picture, are refused.

Fields: ``image`` the published bytes, undecoded (a picture that was gzipped, as one of 2010 is,
comes without that); ``label`` the index of the wnid among the classes, which are in alphabetical
order; ``ilsvrc_id`` the number 1 to 1000 of the development kit; ``wnid`` the number in the name of
the class (1440764 of n01440764), the same whatever classes there are; ``boxes`` xmin, ymin, xmax,
ymax in pixels, as published. The last three are optional.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsets.manifest.schema import WITHHELD, Source
from dsets.readers import (
    Sample,
    _imagenet_index,
    _imagenet_names,
    _imagenet_options,
    _imagenet_pictures,
    _rows,
)
from dsets.readers._imagenet_index import Index
from dsets.readers._imagenet_options import Options

if TYPE_CHECKING:
    import pandas as pd


_UNBOXED = "an annotation of it cannot be read, so it lacks those boxes"


def check(source: Source) -> None:
    """Check the split's options and the fields; no file is looked at. Raises ManifestError."""
    _imagenet_options.read(source)


def table(source: Source) -> pd.DataFrame:
    """One row a picture: key, label, ilsvrc_id, wnid; archive (the inner one, or a loose file's
    folder), offset and bytes say where it lies (bytes a byte more than 256 MiB for all that are
    larger); box_count how many boxes it has.

    It has the pictures that are there, however many the manifest says.

    Raises:
        DataError: a raw file is not what the manifest or the format says.
        ManifestError: the options are not those that the module describes.
    """
    import pandas as pd

    options = _imagenet_options.read(source)
    index = _imagenet_index.opened(source, options)
    columns = index.columns
    keys = [pd.Series(piece) for piece in index.pieces()]
    places = pd.Index([place or options.images for place in index.places])
    return pd.DataFrame(
        {
            "key": pd.concat(keys, ignore_index=True),
            "label": columns["label"].astype(np.int64),
            "ilsvrc_id": _ids(options, index)[columns["label"]],
            "wnid": pd.Categorical.from_codes(columns["label"], pd.Index(index.classes)),
            "archive": pd.Categorical.from_codes(columns["place"], places),
            "offset": columns["offset"],
            "bytes": columns["bytes"],
            "box_count": np.diff(columns["box_end"], prepend=0),
        },
        copy=False,
    )


def keys(source: Source) -> Iterator[Sequence[str]]:
    """The table's keys in its order, some thousands at a time. Raises as ``table``."""
    yield from _imagenet_index.opened(source, _imagenet_options.read(source)).pieces()


def remarks(source: Source) -> Sequence[str]:
    """What annotations cannot be read, a line an archive of them. Raises as ``table``."""
    return _imagenet_index.opened(source, _imagenet_options.read(source)).remarks


def notes(source: Source) -> Sequence[str]:
    """What of the pictures' archive is passed over, or gets into no pack. Raises as ``table``."""
    return _imagenet_index.opened(source, _imagenet_options.read(source)).notes


def samples(source: Source, rows: Sequence[int]) -> Iterator[Sample]:
    """The samples of these rows, read a bounded way ahead in the order of the disk.

    A picture of more than 256 MiB, a zip's member that is damaged, and a loose file that is gone,
    cannot be read, or has other bytes than its listing says, is the ``problem`` of its sample;
    ``image`` is then what there is of it, at most a byte more than listed. Whose annotation cannot
    be read lacks those boxes; the ``remark`` says so.

    Raises:
        DataError: a raw file is not what the manifest or the format says, or has changed.
        ManifestError: the options are not those that the module describes.
        UsageError: a row is not in the table.
    """
    options = _imagenet_options.read(source)
    index = _imagenet_index.opened(source, options)
    wanted = _rows.chosen(source, rows, len(index))
    ids = _ids(options, index)
    for row, data, problem in _imagenet_pictures.read(source, options, index, wanted):
        label = index.columns["label"][row].astype(np.int64)
        values: dict[str, Any] = {
            "image": data,
            "label": label,
            "ilsvrc_id": ids[label],
            "wnid": _wnid(index, int(label)),
            "boxes": index.boxes(row),
        }
        yield Sample(
            index.key(row),
            {name: values[name] for name in options.fields},
            problem,
            _UNBOXED if problem is None and index.is_unboxed(row) else "",
        )


def _ids(options: Options, index: Index) -> np.ndarray:
    """int64: the ILSVRC id of each label; of the withheld label, the last, withheld too."""
    ids = options.ids or [WITHHELD] * len(index.classes)
    return np.array([*ids, WITHHELD], np.int64)


def _wnid(index: Index, label: int) -> np.int64:
    number = _imagenet_names.number(index.classes[label]) if label >= 0 else WITHHELD
    return np.int64(number)
