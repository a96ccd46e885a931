"""Named resize profiles: what decides a pixel's value, recorded in every pack.

Both backends, the C extension and Pillow, give the same bits under every profile, so a profile's
pixels do not depend on what happens to be installed; only the speed does. What can differ from
machine to machine is the JPEG library beneath; ``environment`` names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dsets.errors import UsageError

Filter = Literal["bilinear", "bicubic"]
#: The decoder's halving is another filter than the resize that follows. What it leaves is at least
#: so many times as large as the target, so that most of the shrinking, and the sharpness, are the
#: resize's: with 1 the halved pictures are 38 dB from the others in the median, with 2 above 43.
SPARE = 2


@dataclass(frozen=True, slots=True)
class Profile:
    """Decode to RGB (accurate integer DCT, smooth chroma upsampling), then resize antialiased with
    ``filter``: two 8-bit passes, as ``PIL.Image.resize``.

    ``scaled``: the decoder itself may halve the image (1/2, 1/4 or 1/8 of the DCT) as long as the
    shorter side stays at least SPARE times as large as asked for. Other fractions leave
    libjpeg-turbo's vectorised path and are slower than decoding everything.
    """

    name: str
    filter: Filter
    scaled: bool

    def denominator(self, width: int, height: int, side: int) -> int:
        """The scaling, 1, 2, 4 or 8, that the decoder applies to an image of this size."""
        denominator = 1
        least = SPARE * side
        while self.scaled and denominator < 8 and min(width, height) // (2 * denominator) >= least:
            denominator *= 2
        return denominator


PROFILES = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("exact", "bilinear", scaled=False),
            Profile("fast", "bilinear", scaled=True),
            Profile("exact-bicubic", "bicubic", scaled=False),
        )
    }
)


def profile(name: str) -> Profile:
    """The profile called ``name``. Raises UsageError when there is none."""
    if name not in PROFILES:
        known = ", ".join(PROFILES)
        raise UsageError("unknown resize profile", expected=f"one of {known}", got=repr(name))
    return PROFILES[name]


def environment(profile: Profile | None = None, *, encoder: bool = False) -> dict[str, str]:
    """The *pixel environment*: what must be equal for two machines to make the same bytes.

    Without a profile it is that of ``decode``; with ``encoder`` also that of ``encode_jpeg``.
    Values change only when pixels can: the profile with its parameters, and the generation of the
    JPEG library's arithmetic (that of libjpeg-turbo since 1.5: accurate integer DCT).
    """
    from PIL import features

    turbo = features.check_feature("libjpeg_turbo")
    library = "libjpeg-turbo islow" if turbo else f"libjpeg {features.version_codec('jpg')}"
    found = {"jpeg": library}
    if profile is not None:
        found |= {
            "profile": profile.name,
            "filter": f"{profile.filter}, antialiased, two 8-bit passes",
            "scaling": f"DCT 1/2, 1/4, 1/8, to {SPARE} x the target" if profile.scaled else "none",
        }
    if encoder:
        known = getattr(features, "features", {})  # the question alone warns in an older Pillow
        trellis = "mozjpeg" in known and features.check_feature("mozjpeg")
        found["jpeg_encoder"] = "mozjpeg" if trellis else library
    return found
