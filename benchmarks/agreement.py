"""Our readers beside torchvision, pycocotools and datumaro, on the same files.

    PEERS/bin/pip install -r benchmarks/requirements-agreement.txt .
    PEERS/bin/python benchmarks/agreement.py [--data FOLDER]

``FOLDER`` has ``voc/`` (tars in the official layout) and ``coco/`` (zips). Made files of COCO with
odd cases are read besides: one and several polygons, one within another, thin ones and ones that
leave the picture; run lengths as numbers and as text, crowds; images of one pixel, without
annotations, grayscale and CMYK; and made VOC: parts, missing flags, fractions, any order of
elements, masks with every index. One line for every comparison: what, how many, how many differ.
The status is 1 if any does.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dsets import codecs, manifest, readers
from dsets.codecs import rle
from dsets.readers import Sample

ARCHIVES = {"2007": "VOCtrainval_06-Nov-2007.tar", "2012": "VOCtrainval_11-May-2012.tar"}
PEOPLE = 1


class Tally:
    """How often something was compared, and how often it differed."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def equal(self, what: str, ours: Any, theirs: Any, where: str) -> None:
        self.seen[what] += 1
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        if ours.shape != theirs.shape or not np.array_equal(ours, theirs):
            self.bad[what] += 1
            self.examples.setdefault(what, f"{where}: {ours!s:.100} and {theirs!s:.100}")

    def lines(self) -> list[str]:
        return [
            f"{what:56} {self.seen[what]:6} compared {self.bad[what]:6} differ"
            + (f"   first: {self.examples[what]}" if what in self.examples else "")
            for what in sorted(self.seen)
        ]


def source(name: str, split: str, root: Path) -> manifest.Source:
    found = manifest.find(name)
    return manifest.Source(found, found.split(split), root)


def read(one: manifest.Source) -> Iterator[Sample]:
    reader = readers.load(one.manifest.reader)
    return reader.samples(one, range(len(reader.table(one))))


def coco(root: Path, split: str, unpacked: Path, tally: Tally, about: str) -> None:
    """Beside pycocotools (the reference), torchvision's CocoDetection and datumaro."""
    from pycocotools.coco import COCO
    from torchvision.datasets import CocoCaptions, CocoDetection, wrap_dataset_for_transforms_v2

    pictures = unpacked / f"{split}2017"
    notes = unpacked / "annotations"
    instances = COCO(str(notes / f"instances_{split}2017.json"))
    people = COCO(str(notes / f"person_keypoints_{split}2017.json"))
    dense = {
        one["id"]: place for place, one in enumerate(instances.loadCats(instances.getCatIds()))
    }
    plain = CocoDetection(str(pictures), str(notes / f"instances_{split}2017.json"))
    wrapped = wrap_dataset_for_transforms_v2(plain, target_keys="all")
    spoken = CocoCaptions(str(pictures), str(notes / f"captions_{split}2017.json"))
    places = {number: place for place, number in enumerate(plain.ids)}
    theirs_too = datumaro_coco(unpacked, split)
    one = source("coco2017", split, root)
    classes = next(f.classes for f in one.manifest.fields if f.name == "labels")
    for sample in read(one):
        values, key = sample.values, sample.key
        number = int(values["image_id"])
        notes_ = instances.loadAnns(instances.getAnnIds(imgIds=number))
        height, width = (int(side) for side in values["size"])
        tally.equal(
            f"{about} pycocotools: annotation ids",
            values["annotation_ids"],
            [n["id"] for n in notes_],
            key,
        )
        x = np.array([n["bbox"] for n in notes_], np.float64).reshape(-1, 4)
        edges = np.concatenate([x[:, :2], x[:, :2] + x[:, 2:]], 1).astype(np.float32)
        tally.equal(f"{about} pycocotools: boxes", values["boxes"], edges, key)
        names = [instances.cats[n["category_id"]]["name"] for n in notes_]
        tally.equal(
            f"{about} pycocotools: labels' names",
            [classes[i] for i in values["labels"]],
            names,
            key,
        )
        tally.equal(
            f"{about} pycocotools: crowd",
            values["crowd"],
            [bool(n["iscrowd"]) for n in notes_],
            key,
        )
        tally.equal(
            f"{about} pycocotools: areas",
            values["areas"],
            np.array([n["area"] for n in notes_], np.float32),
            key,
        )
        masks = rle.masks(values["mask"], values["mask_ends"], (height, width))
        for mask, note in zip(masks, notes_, strict=True):
            drawn = instances.annToMask(note)
            tally.equal(f"{about} pycocotools: masks", mask, drawn, f"{key} {note['id']}")
        for place, note in enumerate(notes_):
            found = people.anns.get(note["id"])
            points = (
                np.zeros((17, 3))
                if found is None or "keypoints" not in found
                else np.reshape(found["keypoints"], (17, 3))
            )
            tally.equal(
                f"{about} pycocotools: keypoints",
                values["keypoints"][place],
                points.astype(np.float32),
                key,
            )
        image, target = wrapped[places[number]]
        tally.equal(
            f"{about} torchvision: pixels",
            codecs.decode(values["image"]),
            np.array(image.convert("RGB")),
            key,
        )
        if notes_:
            tally.equal(
                f"{about} torchvision: boxes",
                values["boxes"].round(4),
                target["boxes"].numpy().astype(np.float32).round(4),
                key,
            )
            tally.equal(
                f"{about} torchvision: labels",
                values["labels"],
                [dense[int(i)] for i in target["labels"]],
                key,
            )
            for mask, drawn in zip(masks, target["masks"].numpy(), strict=True):
                tally.equal(f"{about} torchvision: masks", mask, drawn, key)
        ends = [0, *values["caption_ends"].tolist()]
        words = [values["caption"].tobytes()[a:b].decode() for a, b in pairwise(ends)]
        tally.equal(f"{about} torchvision: captions", words, spoken[places[number]][1], key)
        if theirs_too is not None and number in theirs_too:
            beside_datumaro(values, masks, theirs_too[number], tally, about, key)


def datumaro_coco(unpacked: Path, split: str) -> dict[int, Any] | None:
    """Image id → datumaro's item, with images and annotations where it looks for them."""
    try:
        from datumaro.components.dataset import Dataset
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "images").mkdir()
        (home / "images" / split).symlink_to((unpacked / f"{split}2017").absolute())
        (home / "annotations").mkdir()
        data = (unpacked / "annotations" / f"instances_{split}2017.json").read_bytes()
        (home / "annotations" / f"instances_{split}.json").write_bytes(data)
        found = Dataset.import_from(str(home), "coco_instances")
        return {int(item.attributes["id"]): item for item in found}


def beside_datumaro(values: Any, masks: Any, item: Any, tally: Tally, about: str, key: str) -> None:
    """Datumaro keeps a polygon a shape: ``group`` is the annotation's id."""
    by_id: dict[int, list[Any]] = {}
    for shape in item.annotations:
        by_id.setdefault(int(shape.group or shape.id), []).append(shape)
    for place, number in enumerate(values["annotation_ids"].tolist()):
        shapes = by_id.get(number, [])
        if not shapes:
            tally.equal(f"{about} datumaro: objects that it has", 1, 0, f"{key} {number}")
            continue
        tally.equal(
            f"{about} datumaro: labels", values["labels"][place], shapes[0].label, f"{key} {number}"
        )
        crowd = bool(shapes[0].attributes.get("is_crowd", False))
        tally.equal(f"{about} datumaro: crowd", values["crowd"][place], crowd, f"{key} {number}")
        if shapes[0].type.name == "mask":
            tally.equal(
                f"{about} datumaro: crowds' masks",
                masks[place],
                np.asarray(shapes[0].image),
                f"{key} {number}",
            )


def voc(
    root: Path, year: str, split: str, image_set: str, unpacked: Path, tally: Tally, about: str
) -> None:
    """Beside torchvision's VOCDetection and VOCSegmentation, and the XML as lxml reads it."""
    from torchvision.datasets import VOCDetection, VOCSegmentation

    one = source(f"voc{year}", split, root)
    classes = next(f.classes for f in one.manifest.fields if f.name == "labels")
    samples = {sample.key: sample.values for sample in read(one)}
    segmentation = split.startswith("segmentation")
    kind = VOCSegmentation if segmentation else VOCDetection
    theirs = kind(str(unpacked), year=year, image_set=image_set)
    keys = [Path(path).stem for path in theirs.images]
    tally.equal(f"{about} torchvision: the set", list(samples), keys, split)
    for place, key in enumerate(keys):
        values = samples[key]
        image, target = theirs[place]
        tally.equal(
            f"{about} torchvision: pixels", codecs.decode(values["image"]), np.array(image), key
        )
        if segmentation:
            tally.equal(
                f"{about} torchvision: class masks", values["class_mask"], np.array(target), key
            )
            objects = unpacked / "VOCdevkit" / f"VOC{year}" / "SegmentationObject" / f"{key}.png"
            if objects.exists():
                tally.equal(
                    f"{about} Pillow: object masks",
                    values["object_mask"],
                    np.array(Image.open(objects)),
                    key,
                )
            continue
        found = target["annotation"]
        objects_ = found.get("object", [])
        boxes = [
            [float(o["bndbox"][n]) for n in ("xmin", "ymin", "xmax", "ymax")] for o in objects_
        ]
        edges = (np.array(boxes).reshape(-1, 4) - [1, 1, 0, 0]).astype(np.float32)
        tally.equal(f"{about} torchvision: boxes, first edges less 1", values["boxes"], edges, key)
        tally.equal(
            f"{about} torchvision: labels' names",
            [classes[i] for i in values["labels"]],
            [o["name"] for o in objects_],
            key,
        )
        for flag in ("difficult", "truncated", "occluded"):
            given = [o.get(flag, "0") == "1" for o in objects_]
            tally.equal(f"{about} torchvision: {flag}", values[flag], given, key)
        parts = [p for o in objects_ for p in _listed(o.get("part"))]
        edges = [[float(p["bndbox"][n]) for n in ("xmin", "ymin", "xmax", "ymax")] for p in parts]
        less = (np.array(edges).reshape(-1, 4) - [1, 1, 0, 0]).astype(np.float32)
        tally.equal(f"{about} torchvision: parts' boxes", values["part_boxes"], less, key)
    if not segmentation:
        datumaro_voc(unpacked, year, samples, classes, tally, about)


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [] if found is None else [found]


def datumaro_voc(
    unpacked: Path, year: str, samples: Any, classes: Any, tally: Tally, about: str
) -> None:
    try:
        from datumaro.components.dataset import Dataset
    except ImportError:
        return
    found = Dataset.import_from(str(unpacked / "VOCdevkit" / f"VOC{year}"), "voc_detection")
    names = found.categories()[next(k for k in found.categories() if k.name == "label")]
    for item in found:
        if item.id not in samples:
            continue
        values = samples[item.id]
        shapes = [
            s for s in item.annotations if s.type.name == "bbox" and names[s.label].name in classes
        ]
        tops = sorted(shapes, key=lambda s: s.id)[: len(values["labels"])]
        boxes = np.array([s.points for s in tops]).reshape(-1, 4) - [1, 1, 0, 0]
        tally.equal(  # of which it keeps two digits
            f"{about} datumaro: boxes, first edges less 1, to 0.02",
            np.abs(values["boxes"] - boxes).max(initial=0) <= 0.02,
            True,
            item.id,
        )
        tally.equal(
            f"{about} datumaro: labels' names",
            [classes[i] for i in values["labels"]],
            [names[s.label].name for s in tops],
            item.id,
        )


def odd_coco(folder: Path, seed: int) -> None:
    """COCO's zips with made pictures and every way to write a mask."""
    from pycocotools import mask as drawing

    chance = random.Random(seed)
    images, notes, people, words = [], [], [], []
    archive = zipfile.ZipFile(folder / "val2017.zip", "w")
    real = [c for c in range(1, 91) if c not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    number = 1000
    for place in range(40):
        width, height = chance.randint(1, 200), chance.randint(1, 160)
        if place < 3:
            width, height = ((1, 1), (1, 90), (90, 1))[place]
        identity = 7 * (40 - place) + 3
        name = f"{identity:012}.jpg"
        mode = ("RGB", "L", "CMYK")[place % 3]
        picture = Image.effect_noise((width, height), 60).convert(mode)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=90)
        archive.writestr(f"val2017/{name}", out.getvalue())
        images.append({"id": identity, "width": width, "height": height, "file_name": name})
        for _ in range(chance.choice((0, 1, 2, 6))):
            number -= 1
            kind = chance.choice(
                ("polygon", "several", "nested", "runs", "packed", "beyond", "thin")
            )
            note: dict[str, Any] = {
                "id": number,
                "image_id": identity,
                "category_id": chance.choice(real),
                "iscrowd": 0,
            }
            mask = np.zeros((height, width), np.uint8)
            far = min(width, height) // 2 if kind == "beyond" else 0

            def corners(
                count: int, far: int = far, width: int = width, height: int = height
            ) -> list[float]:
                return [
                    round(chance.uniform(-far, side + far), 2)
                    for _ in range(count)
                    for side in (width, height)
                ]

            if kind in ("polygon", "beyond"):
                note["segmentation"] = [corners(chance.randint(3, 12))]
            elif kind == "several":
                note["segmentation"] = [corners(4), corners(3), corners(5)]
            elif kind == "nested":  # the inner one is filled too: COCO has no holes in polygons
                w, h = width - 0.5, height - 0.5
                note["segmentation"] = [
                    [0, 0, w, 0, w, h, 0, h],
                    [w / 4, h / 4, w / 2, h / 4, w / 2, h / 2],
                ]
            elif kind == "thin":
                x = round(chance.uniform(0, width), 1)
                note["segmentation"] = [[x, 0, x, height / 2, x, height]]
            else:
                drawn = Image.fromarray(mask)
                ImageDraw.Draw(drawn).ellipse([width // 4, height // 4, width, height], fill=1)
                packed = drawing.encode(np.asfortranarray(np.array(drawn)))
                note["iscrowd"] = 1
                runs = _runs(np.array(drawn))
                text = packed["counts"].decode()
                note["segmentation"] = {
                    "size": [height, width],
                    "counts": runs if kind == "runs" else text,
                }
            x, y = chance.uniform(0, width), chance.uniform(0, height)
            note["bbox"] = [
                round(x, 2),
                round(y, 2),
                round(chance.uniform(0, width - x), 2),
                round(chance.uniform(0, height - y), 2),
            ]
            note["area"] = round(chance.uniform(0, width * height), 4)
            notes.append(note)
            if chance.random() < 0.4:
                note["category_id"] = PEOPLE
                points = [chance.choice((0, chance.randint(0, 150))) for _ in range(51)]
                people.append(note | {"keypoints": points, "num_keypoints": 17})
        for _ in range(chance.choice((0, 1, 5))):
            text = chance.choice(
                ("A man.", "Ein Bär am Fluß\n", "", "  two  spaces ", '日本語 "x" \\', "a" * 3000)
            )
            words.append({"image_id": identity, "id": len(words), "caption": text})
    archive.close()
    chance.shuffle(notes)
    categories = [{"id": one, "name": name} for one, name in zip(real, _classes(), strict=True)]
    with zipfile.ZipFile(folder / "annotations_trainval2017.zip", "w") as archive:
        for kind, given, about in (
            ("instances", notes, categories),
            ("person_keypoints", people, categories[:1]),
            ("captions", words, []),
        ):
            whole = {"images": images, "annotations": given}
            text = json.dumps(whole | ({"categories": about} if about else {}))
            archive.writestr(f"annotations/{kind}_val2017.json", text)


def odd_voc(folder: Path, seed: int) -> None:
    """VOC 2012's tar with made pictures: parts, missing flags, fractions, masks of any class."""
    chance = random.Random(seed)
    names = next(f.classes for f in manifest.find("voc2012").fields if f.name == "labels")
    home = "VOCdevkit/VOC2012"
    keys = [f"2012_{chance.randrange(10**6):06}" for _ in range(30)]
    keys = list(dict.fromkeys(keys))
    members: dict[str, bytes] = {
        f"{home}/ImageSets/Main/trainval.txt": "".join(f"{key}\n" for key in keys).encode(),
        f"{home}/ImageSets/Segmentation/val.txt": "".join(f"{key} \r\n" for key in keys).encode(),
    }
    for place, key in enumerate(keys):
        width, height = chance.randint(1, 120), chance.randint(1, 120)
        out = io.BytesIO()
        picture = Image.effect_noise((width, height), 50).convert(("RGB", "L")[place % 2])
        picture.save(out, "JPEG")
        members[f"{home}/JPEGImages/{key}.jpg"] = out.getvalue()
        objects = "".join(_object(chance, names, width, height) for _ in range(place % 4))
        size = f"<size><depth>3</depth><height>{height}</height><width>{width}</width></size>"
        text = f"<annotation><filename>{key}.jpg</filename>{objects}{size}</annotation>"
        members[f"{home}/Annotations/{key}.xml"] = text.encode()
        for kind in ("SegmentationClass", "SegmentationObject"):
            pixels = np.array(
                [chance.choice((0, 0, 255, chance.randint(1, 20))) for _ in range(width * height)],
                np.uint8,
            ).reshape(height, width)
            mask = Image.fromarray(pixels, "L")
            mask = Image.frombytes("P", mask.size, mask.tobytes())
            mask.putpalette([chance.randrange(256) for _ in range(768)])
            out = io.BytesIO()
            mask.save(out, "PNG")
            members[f"{home}/{kind}/{key}.png"] = out.getvalue()
    with tarfile.open(folder / ARCHIVES["2012"], "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _object(chance: random.Random, names: tuple[str, ...], width: int, height: int) -> str:
    """One object; the order of its elements varies, as it does between the years."""

    def box() -> str:
        x, y = chance.uniform(1, width), chance.uniform(1, height)
        sides = {"xmin": x, "ymin": y, "xmax": chance.uniform(x, width + 1), "ymax": height}
        digits = chance.choice((0, 2))
        found = [f"<{name}>{side:.{digits}f}</{name}>" for name, side in sides.items()]
        chance.shuffle(found)
        return f"<bndbox>{''.join(found)}</bndbox>"

    parts = "".join(
        f"<part><name>{chance.choice(('head', 'hand', 'foot'))}</name>{box()}</part>"
        for _ in range(chance.choice((0, 0, 1, 3)))
    )
    flags = [
        f"<{name}>{chance.choice((0, 1))}</{name}>"
        for name in ("difficult", "truncated", "occluded")
        if chance.random() < 0.7
    ]
    found = [f"<name>{chance.choice(names)}</name>", box(), parts, *flags]
    chance.shuffle(found)
    return f"<object>{''.join(found)}</object>"


def _classes() -> tuple[str, ...]:
    return next(f.classes for f in manifest.find("coco2017").fields if f.name == "labels")


def _runs(mask: Any) -> list[int]:
    runs, value, count = [], 0, 0
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            runs.append(count)
            value, count = pixel, 0
        count += 1
    return [*runs, count]


def unpacked(archives: list[Path], folder: Path) -> Path:
    for path in archives:
        if path.suffix == ".zip":
            zipfile.ZipFile(path).extractall(folder)
        else:
            with tarfile.open(path) as tar:
                tar.extractall(folder, filter="data")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for seed in range(given.seeds):
            made = work / f"made{seed}"
            made.mkdir()
            odd_coco(made, seed)
            coco(
                made,
                "val",
                unpacked(sorted(made.glob("*.zip")), made / "open"),
                tally,
                "made COCO,",
            )
            odd_voc(made, seed)
            there = unpacked([made / ARCHIVES["2012"]], made / "open")
            voc(made, "2012", "trainval", "trainval", there, tally, "made VOC,")
            voc(made, "2012", "segmentation-val", "val", there, tally, "made VOC,")
        if given.data:
            root = given.data / "coco"
            there = unpacked(sorted(root.glob("*.zip")), work / "coco")
            for split in ("train", "val"):
                coco(root, split, there, tally, "real COCO,")
            for year, archive in ARCHIVES.items():
                there = unpacked([given.data / "voc" / archive], work / f"voc{year}")
                sets = there / "VOCdevkit" / f"VOC{year}" / "ImageSets"
                for path in sorted(sets.glob("*/*.txt")):
                    prefix = "segmentation-" if path.parent.name == "Segmentation" else ""
                    if path.parent.name not in ("Main", "Segmentation") or "_" in path.stem:
                        continue
                    one = source(f"voc{year}", prefix + path.stem, given.data / "voc")
                    if not all(one.path(file).exists() for file in one.split.files):
                        continue
                    voc(
                        given.data / "voc",
                        year,
                        prefix + path.stem,
                        path.stem,
                        there,
                        tally,
                        f"real VOC {year},",
                    )
    print("\n".join(tally.lines()))
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
