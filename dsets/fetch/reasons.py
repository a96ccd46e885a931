"""Why a connection or an answer failed, in words that need no knowledge of urllib3."""

from __future__ import annotations

import http.client
import socket
import ssl

from dsets.fetch.sources import printable

_ANSWERS: tuple[tuple[type[BaseException], str], ...] = (
    (http.client.RemoteDisconnected, "the server hung up without an answer"),
    (http.client.LineTooLong, "a header of the answer has no end"),
    (http.client.BadStatusLine, "what answers there does not speak HTTP"),
    (http.client.IncompleteRead, "the answer ended early"),
)


def of_connection(error: BaseException) -> str:
    """What kept a connection, or the head of its answer, from coming."""
    error = _innermost(error)
    for kind, words in _ANSWERS:
        if isinstance(error, kind):
            return words
    if isinstance(error, http.client.HTTPException):  # its text is Python's own, and plain
        return f"an answer that cannot be read: {printable(str(error))}"
    if isinstance(error, socket.gaierror):
        known = error.errno == socket.EAI_NONAME
        return "nobody knows a server of this name" if known else "no name server answers"
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    return printable(str(error))


def of_security(error: BaseException) -> str:
    """What kept an encrypted connection from being one."""
    error = _innermost(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not to be trusted: {printable(error.verify_message)}"
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS there"
    if isinstance(error, ssl.SSLError) and error.reason:
        return printable(error.reason.replace("_", " ").lower())
    return of_connection(error)


def of_address(error: ValueError) -> str:
    """What is wrong with an address, or with where it leads to."""
    from requests import exceptions

    if isinstance(error, exceptions.InvalidHeader):
        return "sent headers that contradict each other"
    if isinstance(error, exceptions.InvalidSchema):
        return "is, or leads to, an address of neither http nor https"
    return "is, or leads to, no usable address"


def _innermost(error: BaseException) -> BaseException:
    """The cause: requests and urllib3 wrap it several times, with the address inside."""
    while inner := _inside(error):
        error = inner
    return error


def _inside(error: BaseException) -> BaseException | None:
    wrapped = (*error.args, getattr(error, "reason", None), error.__cause__)
    return next((inner for inner in wrapped if isinstance(inner, BaseException)), None)
