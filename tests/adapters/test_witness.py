"""The registry that has nothing."""

import http.client
import pathlib
import socket
import ssl
from collections.abc import Callable

import anyio
import pytest
from anyio import to_thread

from agent.adapters import child
from agent.adapters.witness import MOST_REQUESTS, Witness, witness
from agent.wiring.proof import Witnessed


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs may take their time."""
    monkeypatch.setattr(child, "SECONDS", 60.0)


Ask = Callable[[str, str], http.client.HTTPResponse]


def https(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=30))


def ask(port: int, method: str, path: str, *, tls: bool = True) -> http.client.HTTPResponse:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.sock = https(port) if tls else socket.create_connection(("127.0.0.1", port), timeout=30)
    try:
        connection.request(method, path, headers={"Host": "127.0.0.1"})
        return connection.getresponse()
    finally:
        connection.close()


def with_witness(body: Callable[[Witness], None]) -> Witnessed:
    """Run `body` in a thread beside a witness; what that saw."""

    async def run() -> Witnessed:
        with anyio.fail_after(120):
            async with witness() as seen:
                await to_thread.run_sync(body, seen)
                return seen.witnessed()

    return anyio.run(run)


@pytest.mark.parametrize("tls", [True, False], ids=["https", "http"])
def test_says_that_its_manifest_is_there_and_gives_it_to_nobody(tls: bool) -> None:
    def body(seen: Witness) -> None:
        canary = seen.canary
        for path in canary.paths:
            head = ask(canary.port, "HEAD", path, tls=tls)
            assert (head.status, head.getheader("Docker-Content-Digest")) == (200, canary.digest)
            assert head.getheader("Content-Type") == "application/vnd.oci.image.manifest.v1+json"
            assert head.getheader("Content-Length") == "512"
        assert ask(canary.port, "GET", f"/v2/nodeseal-canary/manifests/{canary.digest}?ns=x", tls=tls).status == 404

    assert with_witness(body) == Witnessed(2, 1)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/"),
        ("HEAD", "/v2/nodeseal-canary/manifests/latest"),
        ("GET", "/v2/nodeseal-canary/manifests/latest"),
        ("HEAD", "/v2/nodeseal-canary-2/manifests/{nonce}"),
        ("HEAD", "/v2/nodeseal-canary/blobs/{digest}"),
        ("POST", "/v2/nodeseal-canary/manifests/{nonce}"),
    ],
)
def test_what_is_not_about_its_canary_does_not_count(method: str, path: str) -> None:
    def body(seen: Witness) -> None:
        asked = path.format(nonce=seen.canary.nonce, digest=seen.canary.digest)
        assert ask(seen.canary.port, method, asked).status == 404

    assert with_witness(body) == Witnessed(0, 0)


def test_connections_that_say_nothing_or_nonsense_end_alone() -> None:
    def body(seen: Witness) -> None:
        port = seen.canary.port
        silent = socket.create_connection(("127.0.0.1", port))
        for content in (b"", b"\x16\x03\x01 no handshake", b"\xff\xfe\r\n\r\n", b"GET " + b"x" * 40_000):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
                try:
                    other.sendall(content)
                    other.shutdown(socket.SHUT_WR)
                    other.recv(1000)
                except ConnectionError:
                    pass
        assert ask(port, "HEAD", f"/v2/nodeseal-canary/manifests/{seen.canary.nonce}").status == 200
        silent.close()

    assert with_witness(body) == Witnessed(1, 0)


def test_answers_so_many_and_no_more() -> None:
    def body(seen: Witness) -> None:
        path = f"/v2/nodeseal-canary/manifests/{seen.canary.nonce}"
        for _ in range(MOST_REQUESTS):
            assert ask(seen.canary.port, "HEAD", path, tls=False).status == 200
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            ask(seen.canary.port, "HEAD", path, tls=False)

    assert with_witness(body) == Witnessed(MOST_REQUESTS, 0)


def test_two_witnesses_have_nothing_in_common_and_listen_on_loopback_alone() -> None:
    seen: list[Witness] = []
    for _ in range(2):
        with_witness(seen.append)
    assert seen[0].canary.nonce != seen[1].canary.nonce
    assert len(seen[0].canary.nonce) == 32

    async def body() -> str:
        async with witness() as found:
            bound = [line.split()[1] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
            return next(each for each in bound if each.endswith(f":{found.canary.port:04X}"))

    assert anyio.run(body).startswith("0100007F:")


def script(path: pathlib.Path, content: str) -> str:
    path.write_text(f"#!/bin/sh\n{content}\n")
    path.chmod(0o755)
    return str(path)


def test_program_is_called_in_containerds_words(tmp_path: pathlib.Path) -> None:
    program = script(tmp_path / "p", 'echo "$@"; cat; env | grep -v -e PWD -e SHLVL -e _=; exit 7')
    said = anyio.run(child.asked, program, "r.example/a:1", "sha256:1")
    words, descriptor = said.line.split("\n")
    assert said.code == 7
    assert words == "-name r.example/a:1 -digest sha256:1 -stdin-media-type application/vnd.oci.descriptor.v1+json"
    manifest = "application/vnd.oci.image.manifest.v1+json"
    assert descriptor == f'{{"mediaType": "{manifest}", "digest": "sha256:1", "size": 512}}'


@pytest.mark.parametrize(
    ("content", "code"), [("exec sleep 60", -9), ("sleep 60 & wait", -9), ("kill -6 $$", -6), ("exec <&-; exit 0", 0)]
)
def test_program_that_hangs_or_dies_is_not_waited_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, content: str, code: int
) -> None:
    if code == -9:
        monkeypatch.setattr(child, "SECONDS", 0.5)
    assert anyio.run(child.asked, script(tmp_path / "p", content), "r.example/a:1", "sha256:1").code == code


def test_program_that_says_too_much_is_not_read_on(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "SECONDS", 5.0)
    said = anyio.run(child.asked, script(tmp_path / "p", "exec yes"), "r.example/a:1", "sha256:1")
    assert child.MOST_OUTPUT <= len(said.line) + 1 <= child.MOST_OUTPUT + 4096
    assert said.code != 0


def test_program_that_is_not_there_is_an_error_of_the_host(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        anyio.run(child.asked, str(tmp_path / "none"), "r.example/a:1", "sha256:1")
