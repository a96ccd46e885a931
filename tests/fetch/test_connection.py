"""Where a connection leads: redirects, certificates, addresses that are none, passwords."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsets import fetch
from dsets.errors import FetchError
from dsets.fetch import Patience
from dsets.manifest import File
from dsets.progress import Event
from tests.fetch.conftest import DATA, Get, failure, file_of, manifest_of
from tests.server import Route, Server, serving


def test_redirects_without_end_are_refused(get: Get, server: Server, folder: Path) -> None:
    server.routes["/a.bin"] = Route(redirect="/a.bin")
    assert "redirects without end" in failure(get, file_of(DATA), folder=folder)
    assert len(server.requests) == 11


def test_a_redirect_is_followed(get: Get, server: Server) -> None:
    server.routes |= {"/a.bin": Route(redirect="/b.bin"), "/b.bin": Route(DATA)}
    assert get(file_of(DATA)).read_bytes() == DATA


@pytest.mark.parametrize("target", ["file:///etc/hosts", "ftp://127.0.0.1/", "http://[", "gopher:"])
def test_a_redirect_out_of_http_is_refused(
    get: Get, server: Server, folder: Path, target: str
) -> None:
    server.routes["/a.bin"] = Route(redirect=target)
    message = failure(get, File("a.bin"), folder=folder)
    assert f"{server.url}/a.bin: " in message


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_are_those_of_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with serving({"/a.bin": Route(DATA)}, tls=tmp_path) as secure:
        manifest = manifest_of(file_of(DATA, addresses=(f"{secure.url}/a.bin",)))
        plan = fetch.plan(manifest, folder)
        with pytest.raises(FetchError, match="certificate is not to be trusted"):
            fetch.files(plan, patience=Patience(pause_s=0))
        monkeypatch.setenv(variable, str(tmp_path / "certificate.pem"))
        assert fetch.files(plan)[0].read_bytes() == DATA


@pytest.mark.parametrize("place", ["http", "https"])
def test_a_redirect_from_https_to_plain_http_is_refused(
    server: Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    server.routes["/a.bin"] = Route(DATA)
    with serving({"/b.bin": Route(DATA)}, tls=tmp_path) as secure:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        plain = place == "http"
        secure.routes["/a.bin"] = Route(redirect=f"{server.url}/a.bin" if plain else "/b.bin")
        manifest = manifest_of(file_of(DATA, addresses=(f"{secure.url}/a.bin",)))
        plan = fetch.plan(manifest, folder)
        if plain:
            with pytest.raises(FetchError, match="redirects from https to plain http"):
                fetch.files(plan, patience=Patience(pause_s=0))
            assert not server.requests, "nothing was sent in the clear"
        else:
            assert fetch.files(plan)[0].read_bytes() == DATA


def test_nobody_listening_is_said_so(folder: Path, patience: Patience) -> None:
    manifest = manifest_of(file_of(DATA, addresses=("http://127.0.0.1:9/a.bin",)))
    with pytest.raises(FetchError, match=r"no connection \(Connection refused\)"):
        fetch.files(fetch.plan(manifest, folder), patience=patience)


@pytest.mark.parametrize("address", ["ftp://h/a", "http://", "http://[", "nonsense", "data:,x"])
def test_an_address_that_is_none_is_one_clear_error(
    folder: Path, patience: Patience, address: str
) -> None:
    manifest = manifest_of(file_of(DATA, addresses=(address,)))
    with pytest.raises(FetchError, match="no address gave the file"):
        fetch.files(fetch.plan(manifest, folder), patience=patience)


def test_a_password_in_an_address_is_never_shown_or_stored(
    server: Server, folder: Path, patience: Patience
) -> None:
    server.routes["/a.bin?token=hush"] = Route(DATA)
    address = f"http://user:hush@127.0.0.1:{server.server_port}/a.bin?token=hush"
    told: list[Event] = []
    for addresses in ((address,), (address + "x",)):
        manifest = manifest_of(file_of(DATA, addresses=addresses))
        try:
            fetch.files(fetch.plan(manifest, folder), patience=patience, progress=told.append)
        except FetchError as error:
            assert "hush" not in str(error)
        for path in folder.glob(".*"):
            assert "hush" not in path.read_text()
        (folder / "a.bin").unlink(missing_ok=True)
    assert server.requests[0].headers["Authorization"].startswith("Basic ")
    assert not any("hush" in event.message for event in told)
