"""Transforms: what happens to a batch between the pack and the step.

    transform=[PadCrop(4), Flip(), Normalise.of(pack), my_function]

Geometry (one of Crop, PadCrop, CentreCrop, RandomResizedCrop, TenCrop; Flip), Lighting, and
Normalise or SubtractMean work on the field ``image`` and are
fused into one pass over the stored pixels; ``specification`` says what they compute. Without
these two images stay as they are stored, height, width, channels last (NHWC); with it they are
floats, channels first (NCHW).
Any function from a batch to a mapping of fields may follow; it runs in the stream's threads.
"""

from dsets.transforms.alexnet import alexnet_test, alexnet_train
from dsets.transforms.crop import CentreCrop, Crop
from dsets.transforms.dequantize import dequantize
from dsets.transforms.flip import Flip
from dsets.transforms.lighting import Lighting
from dsets.transforms.normalise import Normalise
from dsets.transforms.pad_crop import PadCrop
from dsets.transforms.random_resized_crop import RandomResizedCrop
from dsets.transforms.subtract_mean import SubtractMean
from dsets.transforms.ten_crop import TenCrop

__all__ = [
    "CentreCrop",
    "Crop",
    "Flip",
    "Lighting",
    "Normalise",
    "PadCrop",
    "RandomResizedCrop",
    "SubtractMean",
    "TenCrop",
    "alexnet_test",
    "alexnet_train",
    "dequantize",
]
