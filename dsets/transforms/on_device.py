"""The kernel on a torch device: stored uint8 pixels and the host's choices become finished rows.

Every operation is a torch one on whole batches, without a look at a value, so nothing waits for the
device. Bit for bit the ``specification``: a product and a sum are two operations and round twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsets.transforms.kernel import Kernel
from dsets.transforms.recipe import IMAGE
from dsets.transforms.view import Views

if TYPE_CHECKING:
    from torch import Tensor

    from dsets.stream.batch import Batch

#: Names of what travels with a batch; no field can be called like that.
VIEWS, BIAS = "image/views", "image/bias"


@dataclass(frozen=True, slots=True)
class OnDevice:
    """What ``kernel`` does, on ``device``."""

    kernel: Kernel
    scale: Tensor
    bias: Tensor
    field: Tensor | None

    @classmethod
    def of(cls, kernel: Kernel, device: Any) -> OnDevice:
        """With the constants already there."""
        import torch

        normal = kernel.normal
        if normal is None:
            none = torch.zeros(0)
            return cls(kernel, none, none, None)
        scale, bias = (
            torch.from_numpy(values.reshape(1, -1, 1, 1)).to(device)
            for values in (normal.scale, normal.bias)
        )
        field = None if normal.field is None else torch.from_numpy(normal.field).to(device)
        return cls(kernel, scale, bias, field)

    def sizes(self) -> dict[str, int]:
        """Bytes of a row of each of ``choices``."""
        return {VIEWS: self.kernel.crops * 24, BIAS: self.kernel.images.size[2] * 4}

    def choices(self, rows: int, views: Views | None) -> dict[str, npt.NDArray[Any]]:
        """The host's choices: int64 (rows, crops, 3) of top, left, mirrored; float32 (rows, C)."""
        chosen = np.zeros((rows, self.kernel.crops, 3), np.int64)
        edges = (None,) * 3 if views is None else (views.top, views.left, views.mirrored)
        for column, values in enumerate(edges):
            if values is not None:
                chosen[..., column] = values.reshape(rows, self.kernel.crops)
        found: dict[str, npt.NDArray[Any]] = {VIEWS: chosen}
        if views is not None and views.bias is not None:
            found[BIAS] = np.ascontiguousarray(views.bias)
        return found

    def apply(self, batch: Batch) -> Batch:
        """The batch with finished images, and without the choices."""
        fields = dict(batch)
        views, bias = fields.pop(VIEWS), fields.pop(BIAS, None)
        return batch.replace(fields | {IMAGE: self.finish(fields[IMAGE], views, bias)})

    def finish(self, stored: Tensor, views: Tensor, bias: Tensor | None) -> Tensor:
        """Images (n, *stored shape) as ``Kernel.fill`` gives them, (n, *shape)."""
        import torch

        height, width, channels = self.kernel.images.size
        lines, columns = self.kernel.window
        pixels = stored if self.kernel.images.planar else stored.permute(0, 3, 1, 2)
        n, crops = views.shape[:2]
        top, left, mirrored = views.reshape(-1, 3, 1).unbind(1)  # each (n * crops, 1)
        y = top + torch.arange(lines, device=views.device)
        x = torch.arange(columns, device=views.device)
        x = left + torch.where(mirrored == 1, columns - 1 - x, x)
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
        y, x = y.clamp(0, height - 1)[:, None, :, None], x.clamp(0, width - 1)[:, None, None, :]
        image = torch.arange(n, device=views.device).repeat_interleave(crops)[:, None, None, None]
        channel = torch.arange(channels, device=views.device)[None, :, None, None]
        shown = pixels[image, channel, y, x] * inside[:, None]
        normal = self.kernel.normal
        if normal is None:
            return shown.permute(0, 2, 3, 1).reshape(n, *self.kernel.shape)
        values = shown.float() * self.scale
        if self.field is not None:
            values += self.field[channel, y, x] * inside[:, None]
        values += self.bias if bias is None else bias[:, :, None, None].repeat_interleave(crops, 0)
        return values.to(getattr(torch, normal.dtype)).reshape(n, *self.kernel.shape)
