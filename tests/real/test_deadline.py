"""Our deadline is shorter than containerd's: whatever hangs, the client reads our reason and not `signal: killed`."""

import contextlib
import sys
from typing import Iterator

import pytest

from tests.modes.test_node import write_bootstrap
from tests.real.conftest import Sealed
from tests.testbed.node import REGISTRY

pytestmark = pytest.mark.real

_SILENT_RESOLVER = """
import socket, time
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("127.0.0.1", 53))
print("listening", flush=True)
time.sleep(120)
"""
_DRIPPING_REGISTRY = """
import socket, threading, time
def drip(connection):
    try:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/vnd.oci.image.index.v1+json\\r\\n"
                           b"Content-Length: 4000\\r\\n\\r\\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.3)
    except OSError:
        pass
listener = socket.create_server(("127.0.0.1", 5001))
print("listening", flush=True)
threading.Timer(120, lambda: __import__("os")._exit(0)).start()
while True:
    connection, _ = listener.accept()
    threading.Thread(target=drip, args=(connection,), daemon=True).start()
"""


@contextlib.contextmanager
def running_on_the_node(sealed: Sealed, script: str) -> Iterator[None]:
    """Run a Python script on the node, once it listens and for as long as the context lasts; it also ends by itself."""
    path = sealed.node.work / "script.py"
    path.write_text(script)
    start = f"{sys.executable} -I -S {path} > {path}.log 2>&1 & echo $!"
    wait = f"until grep -q listening {path}.log; do sleep 0.02; done"
    pid = sealed.node.must(["sh", "-c", f"{start}; {wait}"]).strip()
    try:
        yield
    finally:
        sealed.node.run(["kill", pid])


@contextlib.contextmanager
def resolver(sealed: Sealed) -> Iterator[None]:
    """Give the node a name server that never answers."""
    configured = sealed.node.work / "resolv.conf"
    configured.write_text("nameserver 127.0.0.1\noptions timeout:20 attempts:3\n")
    sealed.node.must(["mount", "--bind", str(configured), "/etc/resolv.conf"])
    try:
        with running_on_the_node(sealed, _SILENT_RESOLVER):
            yield
    finally:
        sealed.node.must(["umount", "/etc/resolv.conf"])


def mirrored(sealed: Sealed, host: str) -> None:
    """Let containerd find `host`'s images on the node's registry, as a mirror; the verifier asks the host itself."""
    folder = sealed.node.work / "certs.d" / host
    folder.mkdir(exist_ok=True)
    (folder / "hosts.toml").write_text(
        f'server = "http://{REGISTRY}"\n[host."http://{REGISTRY}"]\ncapabilities = ["pull", "resolve"]\n'
    )


@pytest.mark.parametrize("what", ["name resolution", "dripping registry"])
def test_hanging_verification_ends_with_our_reason(sealed: Sealed, what: str) -> None:
    repository = f"hanging/{what.replace(' ', '-')}"
    digest = sealed.node.push_image(repository)
    sealed.trusted.sign(repository, digest)
    if what == "name resolution":
        host, hang = "registry.example.test", resolver(sealed)
    else:
        host, hang = "127.0.0.1:5001", running_on_the_node(sealed, _DRIPPING_REGISTRY)
    mirrored(sealed, host)
    write_bootstrap(sealed.program.root, found={"version": 1, "deadline": "5s"})  # a busy machine has five more
    try:
        with hang:
            told = sealed.node.cri_pull(f"{host}/{repository}:1").error
    finally:
        (sealed.program.root / "etc/nodeseal/bootstrap.json").unlink()
    assert "exit code 11): cannot tell NS-3005" in told, told
    assert "deadline" in told
    assert "signal: killed" not in told
