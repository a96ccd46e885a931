"""Every error that dsets raises on purpose, as one tree.

    DsetsError
    ├── UsageError (ValueError)       a call or command that cannot be meant
    │   └── SplitError (AttributeError, KeyError)   a dataset has no such split
    ├── ManifestError (ValueError)    a manifest that breaks the schema, or a name nobody knows
    ├── FetchError (OSError)          files could not be brought here
    │   ├── OfflineError              ... because nothing may be fetched
    │   └── SpaceError                ... because the disk would be full
    ├── TermsError (PermissionError)  a dataset's terms were not accepted
    ├── LockError (ValueError)        a lock file is damaged, or says other than the manifest
    ├── AdoptError (ValueError)       files are not what the dataset officially consists of
    ├── DigestError (ValueError)      bytes are not what their digest says
    ├── DataError (ValueError)        a raw file is not what its reader expects
    │   ├── AbsentError               ... sound as it is, it holds nothing of the split
    │   └── CutError                  ... it ends before what its own format says is there
    ├── PipelineError (ValueError)    a pipeline breaks its contract
    ├── PrepareError (RuntimeError)   a prepare job could not finish
    ├── PackError (ValueError)        a pack is damaged, hostile, or of an unknown version
    ├── StreamError (RuntimeError)    a stream or its state cannot be used like that
    ├── TrainError (RuntimeError)     a training run cannot start or go on
    ├── BusyError (OSError)           another process holds what this one needs
    └── MissingLibraryError (ImportError)   an optional library is not installed

Each message answers: what, where, expected, got, and the remedy where one is known. The built-in
second parent is what a stranger to dsets would catch. Anything else that escapes is our bug.
"""

from __future__ import annotations

from typing import Any


class DsetsError(Exception):
    """What went wrong, in one line: ``where: what; expected …, got …; remedy``.

    The parts stay readable as attributes; errors survive pickling, since Dask workers send them.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.expected is not None and self.got is not None:
            line += f"; expected {self.expected}, got {self.got}"
        elif self.expected is not None:
            line += f"; expected {self.expected}"
        elif self.got is not None:
            line += f"; got {self.got}"
        return f"{line}; {self.remedy}" if self.remedy else line

    def __reduce__(self) -> tuple[Any, ...]:
        parts = {name: getattr(self, name) for name in ("where", "expected", "got", "remedy")}
        return _rebuild, (type(self), self.what, parts)


def _rebuild(kind: type[DsetsError], what: str, parts: dict[str, Any]) -> DsetsError:
    return kind(what, **parts)


class UsageError(DsetsError, ValueError): ...


class SplitError(UsageError, AttributeError, KeyError): ...


class ManifestError(DsetsError, ValueError): ...


class FetchError(DsetsError, OSError):
    """``tried``: each address as it may be shown, and why it did not give the file.

    ``again``: the same call may do better another time. Neither survives pickling.
    """

    tried: tuple[tuple[str, str], ...] = ()
    again: bool = False


class OfflineError(FetchError): ...


class SpaceError(FetchError): ...


class TermsError(DsetsError, PermissionError): ...


class LockError(DsetsError, ValueError): ...


class AdoptError(DsetsError, ValueError): ...


class DigestError(DsetsError, ValueError): ...


class DataError(DsetsError, ValueError): ...


class AbsentError(DataError): ...


class CutError(DataError): ...


class PipelineError(DsetsError, ValueError): ...


class PrepareError(DsetsError, RuntimeError): ...


class PackError(DsetsError, ValueError): ...


class StreamError(DsetsError, RuntimeError): ...


class TrainError(DsetsError, RuntimeError): ...


class BusyError(DsetsError, OSError): ...


class MissingLibraryError(DsetsError, ImportError): ...
