"""The first process of a node's private namespaces: starts registry and containerd, and ends with its parent.

`python inner.py WORK`: mounts an empty /run, brings the loopback interface up, starts both, writes WORK/ready once both
answer (or WORK/failed with the reason), and waits for the end of its standard input: when the parent goes, for whatever
reason, this process goes, and with it everything in its process namespace.
"""

import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time

_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x1 | 0x40
_SECONDS = 90


def main(work: pathlib.Path) -> None:
    """Start everything, tell, wait."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", "/run"], check=True)
    with socket.socket() as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", _UP_AND_RUNNING, b""))
    _start(work, "registry", ["docker-registry", "serve", str(work / "registry.yml")])
    _start(work, "containerd", ["containerd", "-c", str(work / "containerd.toml")])
    end = time.monotonic() + _SECONDS
    while not (_registry_answers() and _containerd_answers()):
        if time.monotonic() > end:
            (work / "failed").write_text((work / "containerd.log").read_text()[-2000:])
            return
        time.sleep(0.05)
    (work / "ready").touch()
    while os.read(0, 1):
        pass


def _start(work: pathlib.Path, name: str, command: list[str]) -> None:
    with (work / f"{name}.log").open("wb") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _registry_answers() -> bool:
    try:
        socket.create_connection(("127.0.0.1", 5000), timeout=10).close()
    except OSError:
        return False
    return True


def _containerd_answers() -> bool:
    return subprocess.run(["ctr", "version"], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
