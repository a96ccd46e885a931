from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from dsets.errors import MissingLibraryError
from dsets.pack import Pack
from dsets.stream import Batch, batches, device
from dsets.transforms import (
    Crop,
    Flip,
    Lighting,
    Normalise,
    PadCrop,
    RandomResizedCrop,
    SubtractMean,
    TenCrop,
    alexnet_test,
    alexnet_train,
)

MakePack = Callable[..., Pack]


def test_cpu_tensors_hold_what_the_arrays_hold(make_pack: MakePack) -> None:
    torch = pytest.importorskip("torch")
    pack = make_pack(37)
    transform = [PadCrop(2), Flip(), Normalise.of(pack)]
    arrays = batches(pack, 8, transform=transform)
    tensors = batches(pack, 8, transform=transform, device="cpu")
    for array, tensor in zip(arrays, tensors, strict=True):
        assert tensor["image"].dtype == torch.float32 and tensor["label"].dtype == torch.int64
        assert np.array_equal(tensor["image"].numpy(), array["image"])
        assert np.array_equal(tensor["label"].numpy(), array["label"])
        assert [bytes(caption.numpy()) for caption in tensor["caption"]] == [
            bytes(caption) for caption in array["caption"]
        ]
        assert isinstance(tensor.index, np.ndarray) and isinstance(tensor.valid, np.ndarray)


def test_cpu_tensors_lie_in_the_lent_buffers(make_pack: MakePack) -> None:
    pytest.importorskip("torch")
    stream = batches(make_pack(37), 8, device="cpu")
    places = {batch["image"].data_ptr() for _ in range(5) for batch in stream}
    assert len(places) <= 8 and all(place % 4096 == 0 for place in places)
    assert stream._assembly.pools["image"].extra == 0


def test_a_function_may_return_reversed_frozen_and_other_things(make_pack: MakePack) -> None:
    pytest.importorskip("torch")

    def odd(batch: Batch) -> Mapping[str, Any]:
        frozen = batch["label"].copy()
        frozen.flags.writeable = False
        names = [f"sample {number}" for number in batch.index]
        return {"image": batch["image"][:, :, ::-1], "label": frozen, "name": names}

    stream = batches(make_pack(37), 8, shuffle=False, transform=[odd], device="cpu")
    batch = next(iter(stream))
    plain = next(iter(batches(make_pack(37), 8, shuffle=False)))
    assert np.array_equal(batch["image"].numpy(), plain["image"][:, :, ::-1])
    assert batch["name"][7] == "sample 7"


def test_arrays_that_torch_does_not_take_as_they_are(make_pack: MakePack) -> None:
    torch = pytest.importorskip("torch")

    def odd(batch: Batch) -> Mapping[str, Any]:
        records = np.zeros(len(batch.index), [("number", "u1"), ("value", "f4")])
        records["value"] = batch.index
        return {
            "big": batch.index.astype(">f4"),
            "uneven": records["value"],
            "text": np.array([f"sample {number}" for number in batch.index]),
            "records": records,
            "when": batch.index.astype("M8[s]"),
        }

    batch = next(iter(batches(make_pack(37), 8, transform=[odd], device="cpu")))
    for name in ("big", "uneven"):
        assert batch[name].dtype == torch.float32
        assert batch[name].tolist() == batch.index.tolist()
    assert batch["text"][7] == f"sample {batch.index[7]}"
    assert all(isinstance(batch[name], np.ndarray) for name in ("text", "records", "when"))


RECIPES: dict[str, Callable[[Pack], list[Any]]] = {
    "plain": lambda pack: [Flip()],
    "pad": lambda pack: [PadCrop(2), Flip(), Normalise.of(pack)],
    "crop": lambda pack: [Flip(), Crop((5, 4)), Lighting.of(pack), Normalise.of(pack, "float16")],
    "mean": lambda pack: [PadCrop(3), Flip(), Lighting.of(pack), SubtractMean.of(pack)],
    "alexnet": lambda pack: alexnet_train(pack, 4),
    "ten": lambda pack: alexnet_test(pack, 5),
    "ten bytes": lambda pack: [TenCrop(5)],
    "resized": lambda pack: [RandomResizedCrop(5), Flip(), Lighting.of(pack), Normalise.of(pack)],
    "values": lambda pack: [Lighting.of(pack), Normalise.of(pack)],
}


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_device_that_augments_gives_the_same_bits(
    make_pack: MakePack, name: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of CUDA, on the CPU: stored bytes and choices are placed, then finished there."""
    torch = pytest.importorskip("torch")
    pack = make_pack(37, size=(8, 7, 3), layout=layout)
    transform = RECIPES[name](pack)
    arrays = list(batches(pack, 8, seed=3, transform=transform))
    monkeypatch.setattr(device, "of", lambda name: device.Accelerator(torch.device("cpu")))
    stream = batches(pack, 5, seed=3, transform=transform, device="cuda")
    assert (stream._assembly._on_device is None) == (name == "resized")
    tensors = list(stream)
    assert set(tensors[0]) == set(arrays[0])
    for field in ("image", "label"):
        ours = np.concatenate([batch[field].numpy() for batch in tensors])
        wanted = np.concatenate([batch[field] for batch in arrays])
        assert ours.dtype == wanted.dtype and np.array_equal(ours, wanted)
    if name != "resized":  # the stored bytes are free again once they are finished
        assert stream._assembly.pools["image"].extra == 0


def test_functions_see_the_same_batch_whatever_device_follows(
    make_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    pack = make_pack(11)
    seen: dict[int, np.ndarray] = {}  # by epoch: threads work ahead, in no order

    def look(batch: Batch) -> Mapping[str, Any]:
        seen[batch.epoch] = batch["image"].copy()
        return batch

    monkeypatch.setattr(device, "of", lambda name: device.Accelerator(torch.device("cpu")))
    stream = batches(pack, 11, transform=[Flip(), Normalise.of(pack), look], device="cuda")
    batch = next(iter(stream))
    assert np.array_equal(batch["image"].numpy(), seen[0]) and seen[0].dtype == np.float32


def test_without_torch_a_device_is_refused_with_the_remedy(
    make_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingLibraryError, match=r"torch.*pip install 'dsets\[torch\]'"):
        batches(make_pack(37), 8, device="cpu")
    assert len(list(batches(make_pack(37), 8))) == 5


def test_streaming_arrays_never_imports_torch_or_h5py(make_pack: MakePack) -> None:
    script = (
        "import sys, dsets\n"
        f"pack = dsets.Pack.open({str(make_pack(37).path)!r})\n"
        "assert len(list(dsets.stream.batches(pack, 8))) == 5\n"
        "assert not {'torch', 'h5py', 'pandas', 'dask'} & set(sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
