"""What a stranger's code raised, in words of ours, however ill-behaved the exception is."""

from __future__ import annotations

import traceback

from dsets.errors import DsetsError, PipelineError

#: Characters of a stranger's text that are told; the rest is of no use in a line.
MOST = 1000


def cut(text: str) -> str:
    """The text, or the beginning of one that is too long for a line."""
    return text if len(text) <= MOST else f"{text[:MOST]}…"


def failed(call: str, where: object, error: BaseException, origin: str = "") -> PipelineError:
    """``call`` failed, with the line of the source ``origin`` that was last at work, if any was."""
    frames = traceback.extract_tb(error.__traceback__) if origin else []
    lines = [frame.lineno for frame in frames if frame.filename == origin]
    at = f" in line {lines[-1]}" if lines else ""
    return PipelineError(
        f"{call} failed{at}: {type(error).__name__}: {message(error)}", where=where
    )


def message(error: BaseException) -> str:
    """``str(error)``, cut short; words of ours where that raises."""
    try:
        text = str(error)
    except Exception as second:
        return f"its message cannot be had ({type(second).__name__})"
    return cut(text)


def described(error: BaseException) -> str:
    """``repr(error)``, cut short, or an error's own sentence where it is one of ours; its type and
    words of ours where that raises, whatever it raises."""
    try:
        text = str(error) if isinstance(error, DsetsError) else repr(error)
    except BaseException as second:
        return f"{type(error).__name__}; its message cannot be had ({type(second).__name__})"
    return cut(text)
