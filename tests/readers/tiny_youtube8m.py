"""A YouTube-8M of few files and small features, written by the tests' own writer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.archive.records import example, sequence, written

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
COUNT = 3844  # files of a split
FIELDS = {
    "video": {"mean_rgb": ("float32", [8]), "mean_audio": ("float32", [2])},
    "frame": {"rgb": ("uint8", [-1, 8]), "audio": ("uint8", [-1, 2])},
}
FIELDS["segment"] = {
    **FIELDS["frame"],
    **{f"segment_{name}": ("int64", [-1]) for name in ("start_times", "end_times", "labels")},
    "segment_scores": ("float32", [-1]),
}
VOCABULARY = "Index,Name,Other\n0,Game,g\n1,,/m/1\n2,Car,c\n3,Dance,d\n4,Guitar,t\n"


def manifest(folder: Path, level: str) -> Path:
    """``tinytube.toml`` in a folder for DSETS_MANIFESTS: the splits train and test."""
    folder.mkdir(exist_ok=True)
    text = HEAD
    for split in ("train", "test"):
        text += FAMILY.format(split=split, count=COUNT, alphabet=ALPHABET)
    for split in ("train", "test"):
        text += SPLIT.format(split=split, training="training = true" * (split == "train"))
    for name, (dtype, shape) in FIELDS[level].items():
        text += f'\n[field.{name}]\ndtype = "{dtype}"\nshape = {shape}\n'
    (folder / "tinytube.toml").write_text(text)
    return folder


def video(key: str, labels: Sequence[int] = (1,), **other: Any) -> bytes:
    seed = sum(key.encode())
    means = np.arange(10, dtype=np.float32) / 16 - seed % 2
    values = {"id": [key.encode()], "labels": np.array(labels, np.int64)}
    return example({**values, "mean_rgb": means[:8], "mean_audio": means[8:], **other})


def frames(key: str, count: int = 3, labels: Sequence[int] = (1,), **context: Any) -> bytes:
    rows = [bytes((n + at) % 256 for at in range(10)) for n in range(count)]
    values = {"id": [key.encode()], "labels": np.array(labels, np.int64), **context}
    lists = {"rgb": [[row[:8]] for row in rows], "audio": [[row[8:]] for row in rows]}
    return sequence(values, lists)


def segments(key: str, starts: Sequence[int] = (0, 5)) -> bytes:
    begin = np.array(starts, np.int64)
    return frames(
        key,
        count=max(starts, default=0) + 3,
        segment_start_times=begin,
        segment_end_times=begin + 5,
        segment_labels=np.arange(len(begin)),
        segment_scores=np.linspace(0, 1, len(begin), dtype=np.float32),
    )


def files(folder: Path, level: str = "video", names: Sequence[str] = ("00", "aZ")) -> Path:
    """A downloads folder with shards of the training split under published names."""
    folder.mkdir(exist_ok=True)
    make = {"video": video, "frame": frames, "segment": segments}[level]
    for name in names:
        written(folder / f"train{name}.tfrecord", [make(f"{name}{letter}") for letter in "abcd"])
    (folder / "vocabulary.csv").write_text(VOCABULARY)
    return folder


HEAD = """
schema = 1
name = "tinytube"
title = "Tiny videos"
homepage = "https://example.org/tube"
licence = "CC BY 4.0"
access = "open"
citation = "Nobody: Nothing, 2026."
reader = "youtube8m"
pipeline = "video"

[[file]]
name = "vocabulary.csv"
below = ["csv/2/vocabulary.csv"]
addresses = ["https://example.org/csv/2/vocabulary.csv"]

[[file]]
name = "train.json"
below = ["2/download_plans/video_train.json"]
addresses = ["https://example.org/2/download_plans/video_train.json"]

[[file]]
name = "test.json"
below = ["2/download_plans/video_test.json"]
addresses = ["https://example.org/2/download_plans/video_test.json"]

[field.labels]
dtype = "int64"
shape = [-1]
classes_file = "vocabulary.csv"
classes_columns = ["Name", "Other"]
"""
FAMILY = """
[[family]]
name = "{split}{{number}}.tfrecord"
count = {count}
published = "{split}{{code}}.tfrecord"
alphabet = "{alphabet}"
called = "video"
listing = "{split}.json"
about_bytes = 1000000
folders = ["https://example.org/2/video/{split}/"]
"""
SPLIT = """
[split.{split}]
samples = 1000
{training}
files = ["vocabulary.csv", "{split}{{number}}.tfrecord"]
"""
