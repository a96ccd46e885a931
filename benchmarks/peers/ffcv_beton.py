"""FFCV's DatasetWriter, raw mode, two workers; Pillow."""

import PIL.Image
from ffcv.fields import IntField, RGBImageField
from ffcv.writer import DatasetWriter
from pillow_crop import crop, timed


class Images:
    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        return crop(self.paths[index]), 0


def work(paths: list[str], out: str) -> None:
    fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
    DatasetWriter(f"{out}/train.beton", fields, num_workers=2).from_indexed_dataset(Images(paths))


if __name__ == "__main__":
    PIL.Image.preinit()
    timed(work)
