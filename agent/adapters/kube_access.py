"""Where the API server is and what we log in with: a pod's service account, or a kubeconfig.

The only place that imports kubernetes_asyncio, and of it what reads these: its packages' own `__init__` import 760
models and APIs, half a second and 35 MB of memory, of which nothing is used here.  Requests are ours
(`agent.adapters.kube`).  Everything is read again for whoever asks, so whatever was rotated on disk counts; beside the
event loop, for a disk may hang.
"""

import importlib.util
import json
import os
import ssl
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import aiofiles
import anyio
from anyio import to_thread

from agent.adapters import files, inline, trustedcas
from agent.cluster.troubles import ApiError, Trouble
from agent.codec import strictjson
from agent.errors import Unavailable

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds its token, the cluster's CA certificates and its namespace."""

PROGRAM_SECONDS = 10.0
"""How long a program that a kubeconfig names for credentials may take."""

_MAX_NAMESPACE = 253
_MAX_SAID = 64 * 1024
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _without_content(name: str) -> ModuleType:
    """A package of which only those modules are imported that are asked for: its own `__init__` is never run."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    return module


_without_content("kubernetes_asyncio")
_client = _without_content("kubernetes_asyncio.client")

from kubernetes_asyncio.client.configuration import Configuration  # noqa: E402 - see `_without_content`

_client.__dict__.update(Configuration=Configuration, ApiClient=None)  # what the next ones look for

from kubernetes_asyncio.config import kube_config  # noqa: E402
from kubernetes_asyncio.config.exec_provider import ExecProvider  # noqa: E402
from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader  # noqa: E402


class _Program(ExecProvider):
    """A program that a kubeconfig names for credentials.  The library's own way leaves it behind if it hangs."""

    async def run(self, previous_response: str | None = None) -> dict[str, object]:
        """The status that it says; killed when we are cancelled.  Raises whatever fits."""
        info = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = {**self.env, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        done = await anyio.run_process(self.args, env=environment, stderr=DEVNULL, check=True)
        said = strictjson.decode(done.stdout, "credentials of a program", limit=_MAX_SAID)
        if not isinstance(said, dict) or not isinstance(said.get("status"), dict):
            raise ValueError("no ExecCredential")
        return cast("dict[str, object]", said["status"])


kube_config.__dict__.update(ExecProvider=_Program)  # there is no other way in


class _Kubeconfig(kube_config.KubeConfigLoader):
    """A kubeconfig, read in a thread; whatever is waited for, a program or a server of tokens, is in the event loop."""

    @classmethod
    async def read(cls, path: str, configuration: Configuration) -> object:
        """Fill in `configuration`; the context's namespace.  Raises whatever fits."""
        loader = await to_thread.run_sync(cls._opened, path)
        with anyio.fail_after(PROGRAM_SECONDS):
            await loader._authenticated()
        await to_thread.run_sync(loader._filled, configuration)
        return (loader.current_context or {}).get("context", {}).get("namespace") or "default"

    @classmethod
    def _opened(cls, path: str) -> "_Kubeconfig":
        _check_owner(path)
        return cls(config_dict=kube_config.KubeConfigMerger(path).config, config_base_path=None)

    async def _authenticated(self) -> None:
        if cast("object", self.provider) or (self._user and "exec" in self._user):
            await self._load_authentication()
        else:  # it reads a file at most
            await to_thread.run_sync(lambda: inline.run(self._load_authentication()))

    def _filled(self, configuration: Configuration) -> None:
        self._load_cluster_info()
        self._set_config(configuration)


Stamp = tuple[tuple[object, ...], ...]


class Access(NamedTuple):
    """How to reach the API server.  Two with the same `connection` and `stamp` can use the same connections."""

    url: str
    authorization: str
    ca_file: str
    cert_file: str
    key_file: str
    server_name: str
    proxy: str
    stamp: Stamp
    """What the kernel knows of the files that connections are made with."""

    def __repr__(self) -> str:
        """Where; what is shown to the server is hidden."""
        return f"Access({self.url!r})"

    @property
    def connection(self) -> tuple[object, ...]:
        """All but the token: that goes with each request."""
        return self._replace(authorization="")

    def context(self) -> ssl.SSLContext | None:
        """TLS as configured; None for plain HTTP.  Raises `ApiError`."""
        if not self.url.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or trustedcas.find())
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        except (OSError, ValueError, Unavailable) as error:  # ssl.SSLError is an OSError
            raise _unreadable(f"certificates: got {type(error).__name__}") from None
        return context


class Credentials:
    """Reads them: of a kubeconfig if one is named, else of the pod's service account."""

    def __init__(
        self, environment: Mapping[str, str], *, kubeconfig: str = "", service_account: str = SERVICE_ACCOUNT
    ) -> None:
        """Nothing is read yet.  `environment` tells a pod where its API server is."""
        self._environment = dict(environment)
        self._kubeconfig = kubeconfig
        self._service_account = service_account

    async def read(self) -> Access:
        """What is configured now.  Raises `ApiError`."""
        configuration, _ = await self._read()
        named = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
        ca_file, cert_file, key_file = (each or "" for each in named)
        url = (configuration.host or "").rstrip("/")
        parts = urlsplit(url)
        if parts.scheme != "https" and (parts.scheme, parts.hostname) not in [("http", host) for host in _LOOPBACK]:
            raise _unreadable("the server's URL: got something else than https")
        if not configuration.verify_ssl:
            raise _unreadable("insecure-skip-tls-verify: got it; expected a server that can be told from others")
        token = configuration.api_key.get("BearerToken", "").strip()
        if not (token.isascii() and token.isprintable()):
            raise _unreadable("the token: got something that is none")
        names = (configuration.tls_server_name or "", configuration.proxy or "")
        stamp = await to_thread.run_sync(_stamp, ca_file, cert_file, key_file)
        return Access(url, token, ca_file, cert_file, key_file, *names, stamp)

    async def namespace(self) -> str:
        """Our own namespace: the pod's, or that of the kubeconfig's context, else `default`.  Raises `ApiError`."""
        if self._kubeconfig:
            found: object = (await self._read())[1]
        else:
            try:
                async with aiofiles.open(f"{self._service_account}/namespace", encoding="ascii") as file:
                    found = (await file.read(_MAX_NAMESPACE + 1)).strip()
            except (OSError, UnicodeDecodeError) as error:
                raise _unreadable(f"the pod's namespace: got {type(error).__name__}") from None
        if not isinstance(found, str) or len(found) > _MAX_NAMESPACE or not found.replace("-", "").isalnum():
            raise _unreadable("the namespace: got something that is none")
        return found

    async def _read(self) -> tuple[Configuration, object]:
        """The library raises whatever its parsers do: a file that is being written is no bug of ours."""
        configuration = Configuration()
        namespace: object = ""
        try:
            if self._kubeconfig:
                namespace = await _Kubeconfig.read(self._kubeconfig, configuration)
            else:
                token, ca = f"{self._service_account}/token", f"{self._service_account}/ca.crt"
                pod = InClusterConfigLoader(token, ca, try_refresh_token=False, environ=self._environment)
                await to_thread.run_sync(pod.load_and_set, configuration)
        except Exception as error:  # noqa: BLE001 - its text may hold secrets: its kind has to do
            where = self._kubeconfig or self._service_account
            raise _unreadable(f"{where}: got {type(error).__name__}; expected credentials for the API server") from None
        return configuration, namespace


def _stamp(*paths: str) -> Stamp:
    """Raises `ApiError` for a file that others could have written."""
    return tuple(_check_owner(path) for path in paths if path)


def _check_owner(path: str) -> tuple[object, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(f"{path}: got {type(error).__name__}") from None
    complaint = files.foreign(found)
    if complaint:
        raise _unreadable(f"{path}: got a file that {complaint}; expected one of root's or this user's")
    return (path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _unreadable(message: str) -> ApiError:
    return ApiError(Trouble.CREDENTIALS, message)
