"""What encoded images begin with: tells one from a web page, without decoding anything."""

from __future__ import annotations

_BEGINNINGS = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "GIF": b"GIF8",
    "BMP": b"BM",
}


def format_of(data: bytes) -> str | None:
    """The format, by Pillow's name, that the bytes begin like; None for any other."""
    for name, beginning in _BEGINNINGS.items():
        if data.startswith(beginning):
            return name
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
