"""The optional C extension: there, or not. Everything works without it, only slower.

``DSETS_EXTENSION=0`` leaves it out: of the package when it is installed, of a process later on.
Each kernel has an equal in Python that is its specification: the results have the same bits.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

#: Of what this code calls; counts up with ``INTERFACE`` in native/module.c.
_INTERFACE = 4


def _found() -> Any:
    """The extension, unless it is not wanted, or was not built again from these sources."""
    if os.environ.get("DSETS_EXTENSION") == "0":
        return None
    try:
        built = importlib.import_module("dsets._native")
    except ImportError:
        return None
    return built if getattr(built, "interface", 0) == _INTERFACE else None


#: The module ``dsets._native``, or None where it was not built, or not anew after a change.
native: Any = _found()
#: True when its JPEG half was built too.
jpeg: bool = hasattr(native, "jpeg_crop")
#: True when it sums CRC-32C, which takes a processor with that instruction.
checksum: bool = bool(getattr(native, "checksum", False))
