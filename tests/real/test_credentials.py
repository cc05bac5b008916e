"""A private registry: containerd pulls with the pull secret's credentials, the verifier with the node's own file."""

import json
import pathlib
import sys
from typing import Iterator

import pytest

from tests.real.conftest import Sealed
from tests.simulators.authentication import PASSWORD, SECRETS, USER, pair

pytestmark = pytest.mark.real

PRIVATE = "127.0.0.1:5001"
_HTPASSWD = f"{USER}:$2b$04$o2SeuK4t0DAbSeec9T/Cd.XGBwV2njJ0j3KyyBS0gVhFScEkbi4S6\n"  # bcrypt of PASSWORD
_REGISTRY = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {work}/registry}}}}
http: {{addr: "127.0.0.1:5001"}}
auth: {{htpasswd: {{realm: private, path: {work}/htpasswd}}}}
"""

_UNTIL_IT_LISTENS = """
import socket, time
while True:
    try:
        socket.create_connection(("127.0.0.1", 5001)).close()
        break
    except OSError:
        time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def private(sealed: Sealed) -> Iterator[Sealed]:
    """The node's registry once more, under another port, with a password."""
    node = sealed.node
    (node.work / "htpasswd").write_text(_HTPASSWD)
    (node.work / "private.yml").write_text(_REGISTRY.format(work=node.work))
    serve = f"docker-registry serve {node.work}/private.yml >{node.work}/private.log 2>&1 </dev/null & echo $!"
    process = node.must(["sh", "-c", serve]).strip()
    try:
        node.must([sys.executable, "-I", "-S", "-c", _UNTIL_IT_LISTENS])
        yield sealed
    finally:
        node.must(["kill", process])


@pytest.fixture
def credentials(private: Sealed) -> Iterator[pathlib.Path]:
    """Where the node's docker configuration goes; gone at the end."""
    path = private.program.root / "etc" / "nodeseal" / "docker-config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def write(path: pathlib.Path, content: object) -> None:
    """A docker configuration that only its owner can read."""
    path.write_text(json.dumps(content))
    path.chmod(0o600)


def signed(private: Sealed, repository: str) -> str:
    """A signed image, by its name on the private registry."""
    digest = private.node.push_image(repository)
    private.trusted.sign(repository, digest)
    return f"{PRIVATE}/{repository}:1"


def test_a_private_image_is_pulled_with_the_nodes_credentials(private: Sealed, credentials: pathlib.Path) -> None:
    image = signed(private, "private/signed")
    write(credentials, {"auths": {PRIVATE: {"auth": pair(USER, PASSWORD)}}})
    assert private.node.images.pull(image, (USER, PASSWORD)).error == ""
    assert private.node.images.is_present(image)
    unsigned = private.node.push_image("private/unsigned")
    assert unsigned
    told = private.node.images.pull(f"{PRIVATE}/private/unsigned:1", (USER, PASSWORD)).error
    assert "exit code 10): deny NS-2001" in told


def test_containerds_credentials_do_not_reach_the_verifier(private: Sealed, credentials: pathlib.Path) -> None:
    image = signed(private, "private/no-file")
    told = private.node.images.pull(image, (USER, PASSWORD)).error
    assert "exit code 11): cannot tell NS-3002" in told
    assert not any(secret in told for secret in SECRETS)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"auths": {PRIVATE: {"auth": pair(USER, "wrong")}}}, "NS-3002"),
        ({"auths": {PRIVATE: {}}, "credsStore": "desktop"}, "NS-3009"),
        ({"auths": {PRIVATE: {"auth": f"{PASSWORD}!"}}}, "NS-3009"),
    ],
    ids=["wrong password", "helper", "defect"],
)
def test_credentials_that_are_no_good_block(
    private: Sealed, credentials: pathlib.Path, content: object, code: str
) -> None:
    image = signed(private, f"private/{code.lower()}")
    write(credentials, content)
    told = private.node.images.pull(image, (USER, PASSWORD)).error
    assert f"exit code 11): cannot tell {code}" in told
    assert not any(secret in told for secret in SECRETS)
