"""img2dataset's own resizer (OpenCV), with its two worker processes: file:// addresses in.

It stores encoded images only, so it writes 256 x 256 JPEG of quality 95; downloading is from the
page cache.
"""

import os

import cv2  # noqa: F401
from img2dataset import download
from pillow_crop import SIDE, timed


def work(paths: list[str], out: str) -> None:
    listing = f"{out}/paths.txt"
    with open(listing, "w") as file:
        file.writelines(f"file://{os.path.abspath(path)}\n" for path in paths)
    download(
        url_list=listing,
        output_folder=f"{out}/made",
        image_size=SIDE,
        resize_mode="center_crop",
        resize_only_if_bigger=False,
        encode_quality=95,
        processes_count=2,
        thread_count=8,
        number_sample_per_shard=(len(paths) + 1) // 2,
        output_format="webdataset",
        enable_wandb=False,
    )


if __name__ == "__main__":
    timed(work)
