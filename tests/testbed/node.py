"""One real node: containerd and a registry in private mount, process and network namespaces.

Everything lies in one temporary folder and ends with the context, or with the process that opened it.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, NamedTuple

from tests.commands import Done, run
from tests.testbed.cri import ImageService, Pulled
from tests.testbed.images import Layout
from tests.testbed.pods import PAUSE
from tests.testbed.tools import PRIVATE, Tools, ToolsMissing

REGISTRY = "127.0.0.1:5000"
"""Where the registry listens, in the node's own network namespace."""

FAR_REGISTRY = "10.90.0.2:5000"
"""The same registry where it is far away: while `Node.far` holds."""

_HERE = pathlib.Path(__file__).parent
_START_SECONDS = 120
_CONTAINERD = """\
version = 3
imports = ['{work}/conf.d/*.toml']
root = '{work}/root'
state = '{work}/state'
[grpc]
  address = '{work}/containerd.sock'
[debug]
  level = 'debug'
[plugins.'io.containerd.image-verifier.v1.bindir']
  bin_dir = '{work}/verifiers'
  per_verifier_timeout = '10s'
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '127.0.0.1:5000/testbed/pause:1'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '{work}/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['{work}/cni-bin']
  conf_dir = '{work}/cni-conf'
[plugins.'io.containerd.internal.v1.opt']
  path = '{work}/containerd-opt'
[plugins.'io.containerd.nri.v1.nri']
  socket_path = '{work}/nri.sock'
  plugin_path = '{work}/nri-plugins'
  plugin_config_path = '{work}/nri-conf'
"""
_REGISTRY = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {work}/registry}}, delete: {{enabled: true}}}}
http: {{addr: ":5000"}}
"""


class Exchanged(NamedTuple):
    """A registry's answer: status, `Location` header, body."""

    status: int
    location: str
    body: bytes


class Running:
    """A command that runs on a node; `pid` is its own, seen from here, 0 if it ended at once."""

    def __init__(self, process: subprocess.Popen[bytes], pid: int) -> None:
        """`process` is what put it into the node's namespaces."""
        self._process = process
        self.pid = pid

    def line(self) -> str:
        """The next line that it prints; empty if it ended."""
        return self._process.stdout.readline().decode().strip() if self._process.stdout else ""

    def say(self, line: str) -> None:
        """Put a line into its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep it from the processor meanwhile: nsenter stops itself when its child does, and both go on together."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            end = time.monotonic() + 30
            while self._state() != "T":
                assert time.monotonic() < end, "nsenter did not stop"
                time.sleep(0.01)
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGCONT)

    def _state(self) -> str:
        """What the kernel says of nsenter: one letter (proc(5), `stat`)."""
        return pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def stop(self, seconds: float = 30) -> int:
        """Ask it to end, wait, and say how it ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self.pid and self._process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            return self._process.wait()


class Node:
    """A running node.  `work` is its folder; the product's root can be `root`."""

    def __init__(self, tools: Tools, configuration: str = "", *, folder: str = "/tmp") -> None:
        """`tools` are from `tests.testbed.tools.fetch`; `configuration` comes on top of containerd's usual one.

        `folder` is what the node's own folder is made in.
        """
        self.tools = tools
        self._configuration = configuration
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="node-", dir=folder))  # socket paths must stay short
        self.root = self.work / "host"
        self._unshare: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._images: ImageService | None = None
        self._pushed = 0

    def __enter__(self) -> "Node":
        """Start everything.  Raises `ToolsMissing` with what containerd said if it does not come up."""
        for name in ("verifiers", "registry", "certs.d", "notation", "host", "conf.d"):
            (self.work / name).mkdir()
        if self._configuration:
            (self.work / "conf.d" / "more.toml").write_text(self._configuration)
        (self.work / "containerd.toml").write_text(_CONTAINERD.format(work=self.work))
        (self.work / "registry.yml").write_text(_REGISTRY.format(work=self.work))
        self._unshare = subprocess.Popen(
            [*PRIVATE, sys.executable, "-I", "-S", str(_HERE / "inner.py"), str(self.work)],
            stdin=subprocess.PIPE,
            env=self._environment(),
        )
        end = time.monotonic() + _START_SECONDS
        while not (self.work / "ready").exists():
            if (self.work / "failed").exists() or self._unshare.poll() is not None or time.monotonic() > end:
                reason = (self.work / "failed").read_text() if (self.work / "failed").exists() else "no reason given"
                self.stop()
                raise ToolsMissing(f"the node did not start: {reason}")
            time.sleep(0.02)
        children = pathlib.Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self._pid = int(children.read_text().split()[0])
        self._images = ImageService(str(self.work / "containerd.sock"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything and remove the folder."""
        self.stop()

    @property
    def pid(self) -> int:
        """The first process of its namespaces, seen from here."""
        return self._pid

    def stop(self) -> None:
        """End every process of the node; its mounts go with its namespace."""
        if self._images is not None:
            self._images.close()
        if self._unshare is not None and self._unshare.stdin is not None:
            self._unshare.stdin.close()
            try:
                self._unshare.wait(30)
            except subprocess.TimeoutExpired:
                self._unshare.kill()
                self._unshare.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def run(
        self,
        command: list[str],
        *,
        stdin: bytes = b"",
        environment: dict[str, str] | None = None,
        seconds: float = 60,
    ) -> Done:
        """Run a command on the node to its end or the end of its time; `environment` comes on top of a minimal one."""
        inside = ["nsenter", "--target", str(self._pid), "--mount", "--pid", "--net", "--", *command]
        return run(inside, stdin=stdin, environment=self._environment() | (environment or {}), seconds=seconds)

    def must(self, command: list[str], *, stdin: bytes = b"") -> str:
        """Run a command that has to succeed, and return what it printed."""
        done = self.run(command, stdin=stdin)
        if done.code != 0:
            raise AssertionError(f"{' '.join(command)}: exit code {done.code}: {done.err or done.out}")
        return done.out

    @contextmanager
    def started(self, command: list[str], *, log: pathlib.Path | None = None) -> Iterator[Running]:
        """A command that runs on the node meanwhile; it is asked to end, and after 30 s made to.

        What it says goes into the file `log`, or is there to be read.
        """
        inside = ["nsenter", "--target", str(self._pid), "--mount", "--pid", "--net", "--", *command]
        with ExitStack() as open_files:
            out = open_files.enter_context(log.open("ab")) if log else subprocess.PIPE
            process = open_files.enter_context(
                subprocess.Popen(
                    inside, stdin=subprocess.PIPE, stdout=out, stderr=out if log else None, env=self._environment()
                )
            )
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
            while process.poll() is None and not children.read_text():
                time.sleep(0.002)
            running = Running(process, int((children.read_text() or "0").split()[0]))
            try:
                yield running
            finally:
                running.stop()

    @contextmanager
    def far(self, milliseconds: float) -> Iterator[None]:
        """Make `FAR_REGISTRY` the registry at a distance: each direction takes so long."""
        with self.started([sys.executable, "-I", "-S", str(_HERE / "delay.py"), str(milliseconds)]) as running:
            if running.line() != "ready":
                raise ToolsMissing("no network interface of our own: /dev/net/tun is needed")
            yield

    def install_verifier(self, program: pathlib.Path, name: str = "00-nodeseal") -> None:
        """Link a program into containerd's verifier folder, by renaming: containerd runs whatever lies there."""
        link = self.work / "verifier-link"
        link.symlink_to(program)
        link.rename(self.work / "verifiers" / name)

    def remove_verifiers(self) -> None:
        """Empty containerd's verifier folder."""
        for entry in (self.work / "verifiers").iterdir():
            entry.unlink()

    def ctr_pull(self, image: str) -> Pulled:
        """Pull with containerd's own client.  (`--local` would leave the verifiers out.)"""
        done = self.run(["ctr", "images", "pull", "--plain-http", image])
        return Pulled(done.code == 0, done.err.strip())

    def cri_pull(self, image: str) -> Pulled:
        """Pull as the kubelet does."""
        return self.images.pull(image)

    @property
    def images(self) -> ImageService:
        """The CRI's image service."""
        if self._images is None:
            raise AssertionError("the node is not running")
        return self._images

    def push_image(self, repository: str, *, index: bool = False, filler: int = 0) -> str:
        """Push a new image, unlike all others, as `repository:1`; returns its digest.

        `filler` is for how many bytes more, which no compression makes less, it is for one platform.
        """
        self._pushed += 1
        folder = self.work / f"layout-{self._pushed}"
        folder.mkdir()
        layout = Layout(folder, pathlib.Path(self.tools.program("busybox")))
        label = f"{repository} {self._pushed}"
        if index:
            layout.add_index("1", label)
        else:
            layout.add_image("1", label, filler)
        self.must(["oras", "cp", "--from-oci-layout", f"{folder}:1", "--to-plain-http", f"{REGISTRY}/{repository}:1"])
        shutil.rmtree(folder)
        return self.must(["oras", "resolve", "--plain-http", f"{REGISTRY}/{repository}:1"]).strip()

    def push_pause(self) -> str:
        """Push the image that pods begin with: without it none starts.  Returns its digest."""
        folder = self.work / "layout-pause"
        folder.mkdir()
        Layout(folder, pathlib.Path(self.tools.program("busybox"))).add_pause("1")
        self.must(["oras", "cp", "--from-oci-layout", f"{folder}:1", "--to-plain-http", f"{REGISTRY}/{PAUSE}:1"])
        return self.must(["oras", "resolve", "--plain-http", f"{REGISTRY}/{PAUSE}:1"]).strip()

    def exchange(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Exchanged:
        """One request to the registry; `path` begins behind `/v2/`, or is a whole URL."""
        url = path if path.startswith("http") else f"http://{REGISTRY}/v2/{path}"
        words = [f"{name}:{value}" for name, value in (headers or {}).items()]
        script = str(_HERE / "exchange.py")
        done = self.run([sys.executable, "-I", "-S", script, method, url, *words], stdin=body, seconds=30)
        status, _, location = done.err.partition(" ")
        return Exchanged(int(status), location.strip(), done.stdout)

    def get_manifest(self, repository: str, reference: str) -> tuple[bytes, Any]:
        """A manifest, as bytes and as decoded JSON."""
        accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
        body = self.exchange("GET", f"{repository}/manifests/{reference}", headers={"Accept": accepted}).body
        return body, json.loads(body)

    def registry_requests(self) -> list[str]:
        """Every request that the registry answered so far, as "METHOD PATH"."""
        lines = (self.work / "registry.log").read_text(errors="replace").splitlines()
        requests = [
            line.split('"')[1].split(" ")[:2]
            for line in lines
            if '"' in line and " HTTP/1" in line and " - - [" in line
        ]
        return [" ".join(words) for words in requests]

    def containerd_log(self) -> str:
        """What containerd wrote so far."""
        return (self.work / "containerd.log").read_text(errors="replace")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": self.tools.path,
            "CONTAINERD_ADDRESS": f"{self.work}/containerd.sock",
            "XDG_CONFIG_HOME": str(self.work),  # notation's folder is WORK/notation
            "HOME": str(self.work),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
        }
