"""The floor: libjpeg-turbo (the system's, through its TurboJPEG interface) decodes every image
whole to RGB, accurate DCT and smooth upsampling, in two threads, and does nothing with it."""

import ctypes
import ctypes.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pillow_crop import timed

TURBO = ctypes.CDLL(ctypes.util.find_library("turbojpeg"))
TURBO.tjInitDecompress.restype = ctypes.c_void_p
TJPF_RGB, TJFLAG_ACCURATEDCT = 0, 4096


def decode(paths: list[str]) -> None:
    handle = ctypes.c_void_p(TURBO.tjInitDecompress())
    target = ctypes.create_string_buffer(1 << 20)
    for path in paths:
        data = Path(path).read_bytes()
        size = ctypes.c_ulong(len(data))
        width, height, sampling, space = (ctypes.c_int() for _ in range(4))
        TURBO.tjDecompressHeader3(
            handle, data, size, *map(ctypes.byref, (width, height, sampling, space))
        )
        if len(target) < width.value * height.value * 3:
            target = ctypes.create_string_buffer(width.value * height.value * 3)
        TURBO.tjDecompress2(
            handle, data, size, target, width, 0, height, TJPF_RGB, TJFLAG_ACCURATEDCT
        )
    TURBO.tjDestroy(handle)


def work(paths: list[str], out: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(decode, [paths[k::2] for k in range(2)]))


if __name__ == "__main__":
    timed(work)
