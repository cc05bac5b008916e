"""The one place where programs of the host are started.

By absolute path, without a shell, with an environment made from nothing (a frozen program would hand on the path of its
own libraries), standard input empty unless given, in a process group of its own that is killed as a whole when its time
or the room for its output is used up.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from agent.errors import HostError

SECONDS = 10.0
"""How long a program may take unless more is asked for."""

MAX_OUTPUT = 1024 * 1024
"""Most bytes of both outputs together."""

_MAX_STDIN = 4096  # what a pipe takes without anybody who reads
_REFUSED = "its file system may be mounted noexec, or a policy of the host lets only known programs run"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Done(NamedTuple):
    """What a program left: its exit code, negative for the signal that ended it, and both outputs."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def said(self) -> str:
        """The end of what it said on standard error, else on standard output, as one line."""
        text = (self.stderr.strip() or self.stdout.strip()).decode("utf-8", "replace")
        return " ".join(text.split())[-300:]


def run(
    program: str,
    arguments: Sequence[str] = (),
    *,
    name: str = "",
    environment: Mapping[str, str] | None = None,
    bare: bool = False,
    stdin: bytes = b"",
    root: str = "/",
    seconds: float = SECONDS,
    limit: int = MAX_OUTPUT,
) -> Done:
    """Run a program to its end.

    `name` is what it is called (`argv[0]`) if not by its path.  The environment is a PATH of the system's folders
    (not even that if `bare`), and what is given; `stdin` is at most 4 KiB.  With another `root` that is its root, and
    `program` a path below it.  Raises `HostError` if it can't be started, takes too long or says too much.
    """
    if not program.startswith("/"):
        raise HostError(f"{program}: got a relative path of a program; expected an absolute one")
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        os.write(write, stdin[:_MAX_STDIN])
        os.close(write)
        process = subprocess.Popen(  # noqa: S603 - no shell; the path is absolute
            [name or program, *arguments],
            executable=program,
            stdin=read,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**({} if bare else {"PATH": _PATH}), **(environment or {})},
            cwd="/",
            process_group=0,
            close_fds=True,
            preexec_fn=None if root == "/" else partial(_enter, root),
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        hint = _REFUSED if isinstance(error, PermissionError) else ""
        raise HostError(f"{program}: got {error}; expected a program that can be run", hint=hint) from None
    finally:
        os.close(read)
    with process:
        try:
            return _to_its_end(process, program, time.monotonic() + seconds, limit)
        finally:
            with suppress(ProcessLookupError):  # also what it started and left behind
                os.killpg(process.pid, signal.SIGKILL)


def _enter(root: str) -> None:
    """Make a folder the root of this process, which is about to become the program."""
    os.chroot(root)
    os.chdir("/")


def _to_its_end(process: subprocess.Popen[bytes], program: str, end: float, limit: int) -> Done:
    outputs = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in outputs:
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = end - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise HostError(f"{program}: got no end of it in time; expected it to be faster")
            for key, _ in ready:
                stream = next(each for each in outputs if each is key.fileobj)
                chunk = os.read(key.fd, 65536)
                outputs[stream] += chunk
                if not chunk:
                    selector.unregister(key.fileobj)
            if sum(map(len, outputs.values())) > limit:
                raise HostError(f"{program}: got more than {limit} bytes of output; expected less")
    try:
        code = process.wait(max(end - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        raise HostError(f"{program}: got no end of it in time; expected it to be faster") from None
    return Done(code, bytes(outputs[process.stdout]), bytes(outputs[process.stderr]))
