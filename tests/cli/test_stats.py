from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsets import pack, published
from dsets.errors import UsageError
from dsets.field import Field
from dsets.pack import Pack, Statistics, pictures

IMAGES = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3) * 3


def write(
    folder: Path,
    statistics: Statistics | None,
    statistics_of: str | None = None,
    dataset: str | None = None,
) -> str:
    fields = (Field("image", "uint8", (3, 4, 3)),)
    shard = pack.shard.write(folder / "a.h5", fields, ["a", "b"], {"image": IMAGES})
    pack.finish(
        folder,
        split="train",
        fields=fields,
        shards=[shard],
        statistics=statistics,
        statistics_of=statistics_of,
        quarantine=[],
        samples_digest=pack.samples_digest(["a", "b"]),
        provenance={"dataset": dataset} if dataset else {},
    )
    return str(folder)


def test_numbers_are_given_in_0_to_255_and_0_to_1(cli, tmp_path, capsys):
    folder = write(tmp_path, Statistics.of(IMAGES))
    assert cli(["stats", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = IMAGES.reshape(-1, 3).astype(float)
    assert (found["images"], found["pixels"]) == (2, 24)
    assert found["outer_sum"] == (rows.T @ rows).astype(int).tolist()
    assert np.allclose(found["mean"], rows.mean(axis=0))
    assert np.allclose(found["std_0_1"], rows.std(axis=0) / 255)
    assert np.allclose(found["covariance_0_1"], np.cov(rows.T / 255, bias=True))
    assert np.allclose(sum(found["eigenvalues_0_1"]), np.trace(found["covariance_0_1"]))
    assert found["digest"] == Pack.open(folder).statistics.digest


def test_people_get_a_table(cli, tmp_path, capsys):
    assert cli(["stats", write(tmp_path, Statistics.of(IMAGES))]) == 0
    text = capsys.readouterr().out
    assert "exact, from every sample" in text
    assert "mean, 0-255" in text
    assert "component 3, 0-1" in text


def test_what_is_published_of_the_packs_own_dataset_stands_beside(cli, tmp_path, capsys):
    made = Statistics.of(IMAGES)
    for number, dataset in enumerate(("imagenet", "mnist")):
        folder = write(tmp_path / str(number), made, dataset=dataset)
        assert cli(["stats", folder, "--json"]) == 0
        found = json.loads(capsys.readouterr().out).get("compared", [])
        entries = published.find("imagenet") if dataset == "imagenet" else ()
        assert [one["name"] for one in found] == [one.name for one in entries]
        assert cli(["stats", folder]) == 0
        assert ("0.0188" in capsys.readouterr().out) == (dataset == "imagenet")


def test_a_pack_without_statistics_names_the_pack_that_has_them(cli, tmp_path, capsys):
    assert cli(["stats", write(tmp_path, None, "7" * 64)]) == 1
    assert "expected a training pack (this one's is 7777" in capsys.readouterr().err


def test_the_mean_image_and_the_principal_colours_are_drawn(cli, tmp_path, capsys):
    folder = write(tmp_path / "pack", Statistics.of(IMAGES))
    assert cli(["stats", folder, "--png", str(tmp_path / "png"), "--json"]) == 0
    names = ["mean.png", "component-1.png", "component-2.png", "component-3.png"]
    found = json.loads(capsys.readouterr().out)
    assert found["png"] == [str(tmp_path / "png" / name) for name in names]
    with Image.open(tmp_path / "png" / "mean.png") as mean:
        assert np.array_equal(np.asarray(mean), np.rint(IMAGES.mean(0)).astype(np.uint8))
    values, vectors = found["eigenvalues_0_1"], found["eigenvectors"]
    for number, name in enumerate(names[1:]):
        with Image.open(tmp_path / "png" / name) as strip:
            colours = np.asarray(strip)[32, 32::64].astype(float)
        for steps, colour in zip(range(-3, 4), colours, strict=True):
            shift = steps * 255 * np.sqrt(max(values[number], 0)) * np.array(vectors[number])
            exact = np.clip(np.array(found["mean"]) + shift, 0, 255)
            assert np.abs(colour - exact).max() <= 0.5 + 1e-9


def test_drawing_again_replaces_the_pictures_and_nothing_else(cli, tmp_path, capsys):
    folder = write(tmp_path / "pack", Statistics.of(IMAGES))
    (tmp_path / "png").mkdir()
    (tmp_path / "png" / "mine.txt").write_text("mine")
    for _ in range(2):
        assert cli(["stats", folder, "--png", str(tmp_path / "png")]) == 0
    assert len(list((tmp_path / "png").iterdir())) == 5
    assert capsys.readouterr().err.count("wrote ") == 8


def test_images_of_different_sizes_have_colours_but_no_mean_image(tmp_path):
    drawn = pictures.draw(Statistics.of([IMAGES[0], IMAGES[1][:2]]), tmp_path / "png")
    assert [path.name for path in drawn] == [f"component-{n}.png" for n in (1, 2, 3)]


def test_grey_images_are_drawn_grey_and_four_channels_refused(tmp_path):
    drawn = pictures.draw(Statistics.of(IMAGES[..., :1]), tmp_path / "png")
    with Image.open(drawn[0]) as mean:
        assert (mean.mode, mean.size) == ("L", (4, 3))
    with pytest.raises(UsageError, match="expected 1 or 3 channels, got 4"):
        pictures.draw(Statistics.of(np.zeros((1, 2, 2, 4), np.uint8)), tmp_path / "png")


def test_a_folder_that_cannot_be_written_to_is_one_line(cli, tmp_path, capsys):
    folder = write(tmp_path / "pack", Statistics.of(IMAGES))
    (tmp_path / "file").touch()
    assert cli(["stats", folder, "--png", str(tmp_path / "file" / "png")]) == 1
    error = capsys.readouterr().err
    assert "cannot write pictures" in error and error.count("\n") == 1


def test_published_statistics_stand_beside_ours_in_their_unit_and_order(cli, tmp_path, capsys):
    folder = write(tmp_path, Statistics.of(IMAGES))
    assert cli(["stats", folder, "--compare", "imagenet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    bgr, rgb = found["compared"]
    assert (bgr["channels"], bgr["range"]) == ("BGR", 255)
    assert np.allclose(bgr["figures"]["mean"]["ours"], found["mean"][::-1])
    assert (rgb["channels"], rgb["range"]) == ("RGB", 1)
    assert np.allclose(rgb["figures"]["std"]["ours"], found["std_0_1"])
    assert rgb["figures"]["std"]["published"] == [0.229, 0.224, 0.225]
    assert np.allclose(rgb["figures"]["pca_values"]["ours"], found["eigenvalues_0_1"])
    ours = np.array(rgb["figures"]["pca_vectors"]["ours"])
    assert np.allclose(np.abs(ours.T), np.abs(found["eigenvectors"]))
    assert cli(["stats", folder, "--compare", "imagenet"]) == 0
    text = capsys.readouterr().out
    assert (
        "each picture's own deviation" in text
        and "fb.resnet.torch" in text
        and "degrees apart" in text
        and "commit 985e569d" in text
    )


def test_the_angle_between_equal_components_of_other_signs_is_nothing():
    entry = published.find("imagenet")[1]
    vectors = entry.values["pca_vectors"]
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=2e-3)  # columns, to four digits
    covariance = vectors * entry.values["pca_values"] @ vectors.T
    # Sums that have this covariance: means of 1/2, a million pixels in 0-255.
    count, level = 10**6, 127.5
    outer = count * (covariance * 255**2 + level**2)
    outer = np.rint((outer + outer.T) / 2).astype(np.uint64)
    total = np.full(3, round(count * level), np.uint64)
    made = Statistics(
        np.uint64(1), np.uint64(count), total, np.diagonal(outer).copy(), outer, "image"
    )
    by_name = {one.figure: one.difference for one in published.compare(entry, made)}
    assert by_name["pca_vectors"] < 0.1 and by_name["pca_values"] < 3e-4


def test_grey_statistics_compare_with_nothing_and_unknown_names_are_refused(cli, tmp_path, capsys):
    with pytest.raises(UsageError, match="3 channels"):
        published.compare(published.find("imagenet")[0], Statistics.of(IMAGES[..., :1]))
    for name in ("nothing", "../imagenet", ""):
        assert cli(["stats", write(tmp_path, Statistics.of(IMAGES)), "--compare", name]) == 1
        assert "no published statistics; expected one of imagenet" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--png"], ["--compare"]])
def test_wrong_usage_is_exit_code_2(cli, arguments, capsys):
    assert cli(["stats", *arguments]) == 2


def test_no_pack_is_one_line_on_stderr(cli, tmp_path, capsys):
    assert cli(["stats", str(tmp_path / "none")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("dsets: error: ")
    assert error.count("\n") == 1
