"""Credentials of pods and kubeconfigs: read anew each time, and none that others could have written."""

import json
import os
import pathlib
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from agent.adapters import kube_access
from agent.adapters.kube import ApiServer, _Session
from agent.adapters.kube_access import Access, Credentials
from agent.cluster.following import List, Watch
from agent.cluster.troubles import ApiError, Trouble
from tests.adapters.kube import Given
from tests.cluster.objects import SELECTED
from tests.simulators.kube import ADMIN, KubeSimulator

WHERE = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}


def pod(folder: pathlib.Path, environment: Mapping[str, str] = WHERE) -> Credentials:
    """A pod's, whose service account is in `folder`."""
    (folder / "token").write_text("secret-1\n")
    (folder / "ca.crt").write_text("a certificate")
    (folder / "namespace").write_text("nodeseal")
    return Credentials(environment, service_account=str(folder))


def kubeconfig(
    folder: pathlib.Path, cluster: Mapping[str, Any], user: Mapping[str, Any], **context: str
) -> Credentials:
    """A host's; JSON is YAML."""
    value = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **context}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    return Credentials({}, kubeconfig=str(path))


def read(credentials: Credentials) -> Access:
    """Now."""
    return anyio.run(credentials.read)


def refused(credentials: Credentials) -> str:
    """Why they are not read."""
    with pytest.raises(ApiError) as caught:
        read(credentials)
    assert caught.value.trouble is Trouble.CREDENTIALS
    return caught.value.message


def test_a_pod_has_its_token_and_its_server(tmp_path: pathlib.Path) -> None:
    credentials = pod(tmp_path)
    access = read(credentials)
    assert (access.url, access.authorization) == ("https://[fd00::1]:6443", "Bearer secret-1")
    assert access.ca_file == f"{tmp_path}/ca.crt"
    assert anyio.run(credentials.namespace) == "nodeseal"
    assert "secret" not in repr(access)


def test_a_token_that_was_rotated_counts_at_once_and_needs_no_other_connections(tmp_path: pathlib.Path) -> None:
    credentials = pod(tmp_path)
    before = read(credentials)
    (tmp_path / "token").write_text("secret-2")
    after = read(credentials)
    assert after.authorization == "Bearer secret-2"
    assert after.connection == before.connection


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_pod_without_its_files_has_no_credentials(tmp_path: pathlib.Path, missing: str) -> None:
    credentials = pod(tmp_path)
    (tmp_path / missing).write_text("")
    assert "expected credentials" in refused(credentials)
    (tmp_path / missing).unlink()
    assert "expected credentials" in refused(credentials)


def test_outside_of_a_cluster_there_is_no_service_account(tmp_path: pathlib.Path) -> None:
    assert "ConfigException" in refused(pod(tmp_path, {}))


@pytest.mark.parametrize("name", ["", "../kube-system", "x" * 254, "a\nb"])
def test_a_namespace_that_is_none(tmp_path: pathlib.Path, name: str) -> None:
    credentials = pod(tmp_path)
    (tmp_path / "namespace").write_text(name)
    with pytest.raises(ApiError):
        anyio.run(credentials.namespace)
    (tmp_path / "namespace").unlink()
    with pytest.raises(ApiError):
        anyio.run(credentials.namespace)


def test_a_kubeconfig_has_a_context(tmp_path: pathlib.Path) -> None:
    cluster = {"server": "https://api.example/", "tls-server-name": "other.example", "proxy-url": "http://proxy:3128"}
    credentials = kubeconfig(tmp_path, cluster, {"token": "secret-1"}, namespace="shop")
    access = read(credentials)
    assert access == ("https://api.example", "Bearer secret-1", "", "", "", "other.example", "http://proxy:3128", ())
    assert anyio.run(credentials.namespace) == "shop"
    assert anyio.run(kubeconfig(tmp_path, cluster, {}).namespace) == "default"


def test_a_kubeconfigs_files_are_read_anew_and_their_change_makes_other_connections(tmp_path: pathlib.Path) -> None:
    for name in ("ca", "cert", "key", "token"):
        (tmp_path / name).write_text(name)
    cluster = {"server": "https://api.example", "certificate-authority": "ca"}
    user = {"client-certificate": "cert", "client-key": "key", "tokenFile": "token"}
    credentials = kubeconfig(tmp_path, cluster, user)
    first = read(credentials)
    assert (first.cert_file, first.key_file) == (f"{tmp_path}/cert", f"{tmp_path}/key")
    assert first.authorization == "Bearer token"
    assert read(credentials).connection == first.connection
    for name in ("ca", "cert", "key"):
        before = read(credentials)
        (tmp_path / "new").write_text("rotated")
        os.replace(tmp_path / "new", tmp_path / name)
        assert read(credentials).connection != before.connection
    (tmp_path / "token").write_text("rotated")
    assert read(credentials).authorization == "Bearer rotated"


def test_a_program_gives_credentials_and_one_that_fails_does_not(tmp_path: pathlib.Path) -> None:
    said = {"apiVersion": "v1", "kind": "ExecCredential", "status": {"token": "secret-1"}}
    program = {"apiVersion": "v1", "command": "/bin/echo", "args": [json.dumps(said)]}
    cluster = {"server": "https://api.example"}
    assert read(kubeconfig(tmp_path, cluster, {"exec": program})).authorization == "Bearer secret-1"
    program = {"apiVersion": "v1", "command": "/bin/echo", "args": ['{"status": "secret-3"}']}
    assert "secret" not in refused(kubeconfig(tmp_path, cluster, {"exec": program}))
    program = {"apiVersion": "v1", "command": "/bin/false", "args": ["secret-2"]}
    assert "secret" not in refused(kubeconfig(tmp_path, cluster, {"exec": program}))


def test_a_program_that_hangs_is_given_up(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_access, "PROGRAM_SECONDS", 0.3)
    program = {"apiVersion": "v1", "command": "/bin/sleep", "args": ["30"]}
    began = time.monotonic()
    assert "TimeoutError" in refused(kubeconfig(tmp_path, {"server": "https://api.example"}, {"exec": program}))
    assert time.monotonic() - began < 25


@pytest.mark.parametrize(
    ("cluster", "user", "why"),
    [
        ({"server": "https://a.example", "insecure-skip-tls-verify": True}, {}, "insecure-skip-tls-verify"),
        ({"server": "http://a.example"}, {}, "https"),
        ({"server": "http://127.0.0.1.a.example"}, {}, "https"),
        ({"server": "ftp://127.0.0.1"}, {}, "https"),
        ({"server": "https://a.example"}, {"token": "a\r\nHost: b"}, "token"),
        ({"server": "https://a.example"}, {"token": "\u00e9"}, "token"),
        ({"server": "https://a.example", "certificate-authority": "missing"}, {}, "ConfigException"),
        ({}, {}, "expected credentials"),
    ],
)
def test_a_kubeconfig_that_is_refused(
    tmp_path: pathlib.Path, cluster: Mapping[str, Any], user: Mapping[str, Any], why: str
) -> None:
    assert why in refused(kubeconfig(tmp_path, cluster, user))


@pytest.mark.parametrize("content", ["", "{", "[]", "a: b", "clusters: 5", "\0", "current-context: x"])
def test_what_is_no_kubeconfig_is_no_bug(tmp_path: pathlib.Path, content: str) -> None:
    credentials = kubeconfig(tmp_path, {}, {})
    (tmp_path / "kubeconfig").write_text(content)
    refused(credentials)


def test_files_that_others_could_have_written_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca").write_text("ca")
    credentials = kubeconfig(tmp_path, {"server": "https://a.example", "certificate-authority": "ca"}, {})
    (tmp_path / "ca").chmod(0o666)
    assert "others may write to" in refused(credentials)
    (tmp_path / "ca").chmod(0o600)
    (tmp_path / "kubeconfig").chmod(0o620)
    refused(credentials)


def test_connections_are_made_anew_when_their_files_change_and_the_last_ones_stay_while_there_are_none() -> None:
    with KubeSimulator() as simulator:
        given = Given(simulator.url, ADMIN)
        broken: list[ApiError] = []

        class Broken(Given):
            async def read(self) -> Access:
                if broken:
                    raise broken[0]
                return given.access

        async def body() -> None:
            async with ApiServer(Broken(simulator.url, ADMIN)) as server:
                made: list[_Session] = []

                async def ask() -> _Session:
                    await server.page(SELECTED, List(1, ""))
                    assert server._made is not None
                    if server._made not in made:
                        made.append(server._made)
                    return server._made

                first = await ask()
                assert await ask() is first
                given.access = given.access._replace(stamp=(("cert", 2),))
                second = await ask()
                assert second is not first
                given.access = given.access._replace(stamp=(("cert", 3),), cert_file="/none", url="https://127.0.0.1:1")
                assert await ask() is second
                assert server.credentials_trouble
                given.access = given.access._replace(stamp=(("cert", 2),), cert_file="", url=simulator.url)
                assert await ask() is second
                assert not server.credentials_trouble
                for i in range(5):
                    given.access = given.access._replace(stamp=(("cert", 4 + i),))
                    assert await ask() is not second
                assert all(each.client.closed for each in made[:-1])
                assert not made[-1].client.closed
                second = await ask()
                broken.append(ApiError(Trouble.CREDENTIALS, "half written"))
                assert await ask() is second

        anyio.run(body)


def test_connections_of_a_certificate_that_was_rotated_are_closed_when_the_watch_on_them_ends() -> None:
    with KubeSimulator() as simulator:
        given = Given(simulator.url, ADMIN)

        async def body() -> None:
            async with ApiServer(given) as server:
                await server.page(SELECTED, List(1, ""))
                async with server.changes(SELECTED, Watch("100", 60)) as changes:
                    first = server._made
                    assert first is not None
                    given.access = given.access._replace(stamp=(("cert", 2),))
                    await server.page(SELECTED, List(1, ""))
                    assert server._made is not first
                    assert await changes.next() is not None  # it goes on
                    assert not first.client.closed
                assert first.client.closed

        anyio.run(body)


def test_without_credentials_nothing_is_asked(tmp_path: pathlib.Path) -> None:
    async def body() -> None:
        async with ApiServer(Credentials({}, kubeconfig=str(tmp_path / "none"))) as server:
            await server.page(SELECTED, List(1, ""))

    with pytest.raises(ApiError) as caught:
        anyio.run(body)
    assert caught.value.trouble is Trouble.CREDENTIALS


def test_tls_is_the_one_that_was_configured(tmp_path: pathlib.Path) -> None:
    assert Given("http://127.0.0.1:1", "").access.context() is None
    context = Given("https://a.example", "").access.context()
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    (tmp_path / "ca").write_text("no certificate")
    with pytest.raises(ApiError):
        Given("https://a.example", "").access._replace(ca_file=str(tmp_path / "ca")).context()


def test_only_what_reads_credentials_is_imported_of_the_library() -> None:
    """Its packages' own `__init__` take half a second and 35 MB."""
    asked = (
        "import sys, agent.adapters.kube as k; print(len(sys.modules), *[m for m in sys.modules if 'kubernetes' in m])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    _, *names = done.stdout.split()
    assert "kubernetes_asyncio.config.kube_config" in names
    assert not any(
        name.startswith(("kubernetes_asyncio.client.models", "kubernetes_asyncio.client.api")) for name in names
    )
    assert len(names) < 20
