"""CIFAR's binary version: records without a header, and a text with a class name a line.

A record is one byte for each label, in CIFAR-100 coarse before fine, then the pixels, one plane
after the other. In ``Layout.labels`` the fields stand in the record's order, each with the member
that holds its class names.
"""

from __future__ import annotations

import numpy as np

from dsets.archive import tar
from dsets.readers import _rows
from dsets.readers._cifar_batch import META_BYTES, Batch, Layout


def batch(layout: Layout, entry: tar.Entry, body: tar.Body) -> Batch:
    """The batch in a member of the archive.

    Raises:
        DataError: it is not what the layout says.
    """
    record = len(layout.labels) + layout.pixels
    if entry.bytes != layout.rows * record:
        raise body.error(
            "wrong size",
            expected=f"{layout.rows} records of {record} bytes",
            got=f"{entry.bytes:,} bytes",
        )
    records = np.frombuffer(body.whole(), np.uint8).reshape(layout.rows, record)
    records.flags.writeable = False
    height, width, channels = layout.image
    planes = records[:, len(layout.labels) :].reshape(layout.rows, channels, height, width)
    planes.flags.writeable = False
    labels = {
        field.name: _rows.labels(body.where, field, records[:, column])
        for column, (field, _, _) in enumerate(layout.labels)
    }
    return Batch(planes, labels, [])


def check_names(layout: Layout, entry: tar.Entry, body: tar.Body) -> None:
    """Compare the class names in a text with the manifest's.

    Raises:
        DataError: they differ, or the text is none.
    """
    if entry.bytes > META_BYTES:
        raise body.error("member is too long", expected=f"at most {META_BYTES:,} bytes")
    text = bytes(body.whole()).decode("utf-8", "backslashreplace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    for field, _, member in layout.labels:
        if member == entry.name and field.classes and names != field.classes:
            raise body.error(
                f"class names of {field.name} differ from the manifest's",
                expected=", ".join(field.classes),
                got=", ".join(names)[:400],
            )
