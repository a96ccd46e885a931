"""The command ``dsets``: one thin function a command."""

from .app import main

__all__ = ["main"]
