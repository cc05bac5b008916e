"""A real API server and its etcd, on loopback, of Debian bookworm's packages.

`python -m tests.testbed.kube` builds it.  There is no binary package of kube-apiserver, but the source package is whole
(1.20.2, with its dependencies), and builds offline with bookworm's Go: once, in ten minutes, into the user's cache.
It is as old as it is: RBAC, the Node authorizer, lists, watches and bookmarks are as they are today.

    with KubeServer(folder) as server:
        token = server.service_account("nodeseal", "agent", [rule("configmaps", "get", "list", "watch")])
"""

import json
import os
import pathlib
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.simulators.certificates import Authority
from tests.testbed import tools

SUITE = "bookworm"
VERSION = "1.20.2"
NODE = "n1"
"""The name of the node that the token `KubeServer.node` belongs to."""

_PACKAGES = ("etcd-server", "golang-1.19-go", "golang-1.19-src")
_PROGRAMS = ("etcd", "kube-apiserver")
_READY_SECONDS = 60.0


def programs() -> pathlib.Path:
    """The folder with both, from the cache or built.  Raises `tools.ToolsMissing`."""
    cache = tools.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"kube-{VERSION}"
    with tools.locked(cache / "kube.lock"):
        if not all((folder / name).is_file() for name in _PROGRAMS):
            print(
                f"testbed: building kube-apiserver {VERSION} (3 GB while it builds, 10 minutes, once) ...", flush=True
            )
            with tempfile.TemporaryDirectory(dir=cache) as building:
                _build(pathlib.Path(building), folder)
    return folder


def _build(folder: pathlib.Path, into: pathlib.Path) -> None:
    root, source = folder / "root", folder / "source"
    tools.download(folder, SUITE, _PACKAGES, root)
    source.mkdir()
    options = tools.private_apt(folder / "source-lists", SUITE, types="deb-src")
    tools.must(["apt-get", *options, "source", "--download-only", "kubernetes"], source)
    archive = next(source.glob("kubernetes_*.orig.tar.gz"))
    tools.must(["tar", "-xzf", str(archive), "--strip-components=1"], source)
    goroot = folder / "goroot"
    # Debian keeps the parts in two places and links them to each other by absolute paths.
    for base in sorted((root / "usr").glob("share/go-*")) + sorted((root / "usr").glob("lib/go-*")):
        shutil.copytree(base, goroot, dirs_exist_ok=True, symlinks=False, ignore=tools.links)
    environment = {
        "PATH": f"{goroot}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "GOROOT": str(goroot),
        "GOCACHE": str(folder / "cache"),
        "GOPROXY": "off",
        "GO111MODULE": "on",
    }
    make = ["nice", "-n", "19", "make", "WHAT=cmd/kube-apiserver", "GOLDFLAGS=-s -w", f"KUBE_GIT_VERSION=v{VERSION}"]
    done = subprocess.run(make, cwd=source, env=environment, capture_output=True, text=True, check=False)
    built = list(source.glob("_output/local/bin/linux/*/kube-apiserver"))
    if done.returncode != 0 or not built:
        raise tools.ToolsMissing(f"make kube-apiserver: {done.stderr.strip()[-400:]}")
    whole = folder / "whole"
    whole.mkdir()
    shutil.copy2(root / "usr" / "bin" / "etcd", whole)
    shutil.copy2(built[0], whole)
    shutil.rmtree(into, ignore_errors=True)
    whole.rename(into)


class Answer(NamedTuple):
    """What the server said."""

    status: int
    value: Any


def rule(resource: str, *verbs: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """One rule of a Role, for the core API group."""
    found: dict[str, Any] = {"apiGroups": [""], "resources": [resource], "verbs": list(verbs)}
    if names:
        found["resourceNames"] = list(names)
    return found


class KubeServer:
    """Both programs, between `with` and its end; all that they write is below `folder`."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Nothing runs yet.  Raises `tools.ToolsMissing`."""
        self._programs = programs()
        self.folder = folder
        self.admin, self.node = secrets.token_hex(16), secrets.token_hex(16)
        """Tokens: of an administrator, and of the kubelet of `NODE`."""
        self._running: list[subprocess.Popen[bytes]] = []
        self._ports = [_reserved() for _ in range(3)]
        self._etcd, self._peer, self._port = (int(each.getsockname()[1]) for each in self._ports)
        self.users = Authority(folder, "users of the testbed")
        """Issues certificates of users: the common name is the user's."""

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def certificate(self) -> str:
        """The path of the certificate that the server made for itself."""
        return str(self.folder / "certificates" / "apiserver.crt")

    def __enter__(self) -> "KubeServer":
        """Start both, and wait until the server is ready."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / "sa.key").write_bytes(pem)
        (self.folder / "tokens.csv").write_text(
            f'{self.admin},admin,admin,"system:masters"\n{self.node},system:node:{NODE},{NODE},"system:nodes"\n'
        )
        try:
            self._start_etcd()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        self.stop()
        for program in self._running:
            _end(program)
        for each in self._ports:
            each.close()

    def _start_etcd(self) -> None:
        etcd = f"http://127.0.0.1:{self._etcd}"
        peers = f"http://127.0.0.1:{self._peer}"
        self._run(
            "etcd", f"--data-dir={self.folder}/etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        )  # fmt: skip

    def start(self) -> None:
        """Start the API server, and wait until it is ready."""
        key = f"{self.folder}/sa.key"
        self._run(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self._etcd}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={self._port}", f"--cert-dir={self.folder}/certificates",
            f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=Node,RBAC",
            "--allow-privileged=true", "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={self.users.bundle}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-account-issuer=https://kubernetes.default.svc",
            "--api-audiences=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24",
        )  # fmt: skip
        end = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if time.monotonic() > end or self._running[-1].poll() is not None:
                log = (self.folder / "kube-apiserver.log").read_text()
                raise tools.ToolsMissing(f"kube-apiserver did not become ready: {log[-400:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the API server; its etcd goes on."""
        if len(self._running) > 1:
            _end(self._running.pop())

    def kill(self) -> None:
        """End the API server as the kernel does; its etcd goes on."""
        if len(self._running) > 1:
            self._running[-1].kill()
            self._running.pop().wait()

    @property
    def pids(self) -> Sequence[int]:
        """The processes that run: etcd, then the API server."""
        return [each.pid for each in self._running]

    def compact(self) -> None:
        """Forget every state before this one, in etcd: lists that go on in pages can't after that."""
        base = f"http://127.0.0.1:{self._etcd}/v3/kv"
        found = _post(f"{base}/range", {"key": "AA=="})
        _post(f"{base}/compaction", {"revision": found["header"]["revision"], "physical": True})

    def move(self) -> None:
        """Change something in etcd that is none of the API server's: the version of everything goes on by one."""
        _post(f"http://127.0.0.1:{self._etcd}/v3/kv/put", {"key": "dGVzdGJlZA==", "value": ""})

    def _run(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [str(self._programs / name), *arguments]
            self._running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def _is_ready(self) -> bool:
        try:
            return (
                self.ask("GET", "/readyz", seconds=5).status == 200
            )  # one that is busy starting may not answer at all
        except (OSError, ValueError):
            return False

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str = "",
        kind: str = "",
        impersonate: str = "",
        seconds: float = 60,
    ) -> Answer:
        """One request; as the administrator unless another token is given.  `kind` is the body's media type.

        `impersonate` is the user whom whoever shows the token would like to be.
        """
        headers = {"Authorization": f"Bearer {token or self.admin}", "Content-Type": kind or "application/json"}
        if impersonate:
            headers["Impersonate-User"] = impersonate
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", content, headers, method=method)
        context = ssl.create_default_context(cafile=self.certificate)
        try:
            with urllib.request.urlopen(request, timeout=seconds, context=context) as response:
                status, said = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, said = error.code, error.read()
        try:
            return Answer(status, json.loads(said))
        except ValueError:
            return Answer(status, said)

    def make(self, path: str, value: Mapping[str, Any]) -> Any:
        """Create an object, or replace the one that is there; what became of it."""
        answer = self.ask("POST", path, value)
        if answer.status == 409:
            answer = self.ask("PUT", f"{path}/{value['metadata']['name']}", value)
        if not 200 <= answer.status < 300:
            raise AssertionError(f"{path}: {answer}")
        return answer.value

    def namespace(self, name: str) -> None:
        """Make a namespace."""
        if self.ask("GET", f"/api/v1/namespaces/{name}").status == 404:
            self.make("/api/v1/namespaces", {"metadata": {"name": name}})

    def service_account(self, namespace: str, name: str, rules: Sequence[Mapping[str, Any]]) -> str:
        """A service account that may do what a Role of these rules says, in its namespace; a token of it."""
        self.namespace(namespace)
        self.make(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
        self.grant(namespace, {"kind": "ServiceAccount", "name": name, "namespace": namespace}, rules)
        return self.token(namespace, name)

    def grant(self, namespace: str, subject: Mapping[str, str], rules: Sequence[Mapping[str, Any]]) -> None:
        """Make a Role of these rules, of the subject's name, and bind it to the subject."""
        rbac, group = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}", "rbac.authorization.k8s.io"
        name = subject["name"]
        self.make(f"{rbac}/roles", {"metadata": {"name": name}, "rules": list(rules)})
        role = {"apiGroup": group, "kind": "Role", "name": name}
        bound = {"metadata": {"name": name}, "subjects": [dict(subject)], "roleRef": role}
        self.make(f"{rbac}/rolebindings", bound)

    def token(self, namespace: str, name: str) -> str:
        """A token for a service account, by TokenRequest, for an hour."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        answer = self.ask("POST", path, asked)
        if answer.status != 201:
            raise AssertionError(f"{path}: {answer}")
        return str(answer.value["status"]["token"])


def _post(url: str, value: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(value).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())


def _end(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    try:
        program.wait(30)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def _reserved() -> socket.socket:
    """A port that is nobody else's until this is closed; who is told of it may listen there, with SO_REUSEADDR."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", 0))
    return made


if __name__ == "__main__":
    print(f"kube-apiserver {VERSION} and etcd: {os.fspath(programs())}")
