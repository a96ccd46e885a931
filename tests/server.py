"""A real HTTP server in a thread, as good or as bad as a test wants it.

with serving({"/a.bin": Route(data)}) as server:
    server.url                    # http://127.0.0.1:PORT
    server.requests               # what was asked, in order
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

CHUNK = 1 << 14


@dataclass(slots=True)
class Route:
    """How one path answers. The defaults are a good server: ranges, ETag, Last-Modified.

    ``statuses`` are given first, one a request. ``cut_after``: bytes of a body after which the
    connection breaks, for the first ``cuts`` requests. ``stall_after``: bytes of a body after which
    nothing more comes until ``Server.release``. ``length``: a Content-Length that may be a lie;
    ``None`` sends none, so the body ends with the connection. ``headers`` override the others.
    """

    data: bytes = b""
    ranges: bool = True
    etag: str | None = '"1"'
    modified: str | None = "Mon, 01 Jan 2024 00:00:00 GMT"
    headers: Mapping[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    cut_after: int | None = None
    cuts: int = 1 << 30
    stall_after: int | None = None
    length: int | None = -1  # the true one
    chunked: bool = False
    redirect: str | None = None
    on_request: Callable[[Route], None] | None = None
    on_headers: Callable[[Mapping[str, str]], None] | None = None
    answers: int = 200  # what a whole body is called


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    headers: Mapping[str, str]
    status: int
    client: int  # the port: one for each connection


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, routes: dict[str, Route], tls: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if tls:
            self.scheme = "https"
            self.socket = _secured(self.socket, tls)
        self.routes = routes
        self.requests: list[Asked] = []
        self.stalled = threading.Event()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def asked(self, path: str) -> list[Asked]:
        return [request for request in self.requests if request.path == path]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is what these tests are about; nothing to report."""


@contextmanager
def serving(routes: dict[str, Route], tls: Path | None = None) -> Iterator[Server]:
    """A running server; with ``tls`` by https, its ``certificate.pem`` in that folder."""
    server = Server(routes, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="test-server")
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _secured(plain: socket.socket, folder: Path) -> ssl.SSLSocket:
    """The socket behind TLS, with a certificate made for this run."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context.wrap_socket(plain, server_side=True)


@contextmanager
def trickling(first: bytes) -> Iterator[str]:
    """The address of a server that sends ``first``, then byte after byte, for ever."""
    over = threading.Event()

    class Trickle(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(CHUNK)
            with suppress(OSError):
                self.request.sendall(first)
                while not over.wait(0.01):
                    self.request.sendall(b"1")

    class Trickles(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Trickles(("127.0.0.1", 0), Trickle) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="test-trickle")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path)
        if route is None:
            return self._answer(Route(b"not here"), 404, b"not here", {})
        if route.on_request:
            route.on_request(route)
        if route.on_headers:
            route.on_headers(dict(self.headers))
        if route.statuses:
            status = route.statuses.pop(0)
            return self._answer(route, status, b"", {"Content-Length": "0"})
        if route.redirect:
            return self._answer(route, 302, b"", {"Location": route.redirect})
        start, end = self._range(route)
        if start is None:
            return self._answer(route, route.answers, route.data, {})
        if start >= len(route.data):
            return self._answer(route, 416, b"", {"Content-Range": f"bytes */{len(route.data)}"})
        body = route.data[start:end]
        named = f"bytes {start}-{start + len(body) - 1}/{len(route.data)}"
        return self._answer(route, 206, body, {"Content-Range": named})

    def _range(self, route: Route) -> tuple[int | None, int | None]:
        """Where the answer begins, or None for the whole file, and ends, or None for its end."""
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if not wanted or not route.ranges:
            return None, None
        if condition and condition not in (route.etag, route.modified):
            return None, None
        start, _, last = wanted.removeprefix("bytes=").partition("-")
        return int(start), int(last) + 1 if last else None

    def _answer(self, route: Route, status: int, body: bytes, more: Mapping[str, str]) -> None:
        self.server.requests.append(
            Asked(self.path, dict(self.headers), status, self.client_address[1])
        )
        headers = {"Content-Type": "application/octet-stream", "Date": formatdate(usegmt=True)}
        if route.ranges:
            headers["Accept-Ranges"] = "bytes"
        if route.etag:
            headers["ETag"] = route.etag
        if route.modified:
            headers["Last-Modified"] = route.modified
        if route.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif route.length is None:
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(len(body) if route.length < 0 else route.length)
        headers |= {**more, **route.headers}
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self._send(route, body)

    def _send(self, route: Route, body: bytes) -> None:
        cut = route.cut_after if route.cuts > 0 else None
        if cut is not None:
            route.cuts -= 1
        ends = [n for n in (cut, route.stall_after) if n is not None]
        body = body[: min(ends)] if ends else body
        for start in range(0, len(body), CHUNK):
            piece = body[start : start + CHUNK]
            if route.chunked:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            self.wfile.write(piece)
        if route.stall_after is not None:
            self.server.stalled.set()
            self.server.release.wait()
        if ends or route.length != -1:
            self.close_connection = True
        elif route.chunked:
            self.wfile.write(b"0\r\n\r\n")
