"""The daemon's socket: where it is, who may use it, and the forms of what is said on it (docs/ipc.md).

::

    run/nodeseal/agent.sock      mode 0600, in a folder that only root or this user may write to
    run/nodeseal/agent.lock      held by the daemon that serves

One question per connection.  The fast path (`agent.fastpath`) asks without anything of ours, so that its half of the
forms is said twice; a test holds the two together.  Here is no event loop: `ipc_server` serves, `Client` waits.
"""

import os
import socket
import struct
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import NamedTuple

from agent import __version__
from agent.adapters import files
from agent.errors import HostError, Malformed

FOLDER = "run/nodeseal"
"""Where the socket is, under the root."""

NAME, LOCK = "agent.sock", "agent.lock"

VERSION = 1
"""Of the protocol; a daemon answers another one with `other`, and the child does without it."""

MAX_HEAD = 256
"""Most bytes of a line that begins a message."""

MAX_BODY = 512 * 1024
"""Most bytes of a question behind its head; containerd's words are below 1 KiB."""

MAX_ANSWER = 4 * 1024 * 1024
"""Most bytes of what the daemon says to people."""

WORKING = b"working\n"
BUSY = b"busy\n"

NOT_WHOLE, NO_RESULT, NO_TURN, BUG = "words", "alone", "busy", "bug"
"""Why the daemon declines a question (`declined`), as it stands on the wire.

In order: containerd's words are not whole; there is no result, for lack of memory or descriptors, or because the
verification failed; the verification did not get its turn in time; an exception that nobody foresaw.
"""

PULL, STATUS, AHEAD = "pull", "status", "ahead"
KINDS = (PULL, STATUS, AHEAD)

_MAGIC = b"nodeseal"
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_BACKLOG = 256


class Question(NamedTuple):
    """What a client asks.  `seconds` are left to it; `key` and `body` are opaque here.

    `program` is the version of the program that asks.
    """

    kind: str
    program: str
    seconds: float
    key: bytes
    body: bytes


class Head(NamedTuple):
    """The line that begins a question, with the lengths of what follows it."""

    kind: str
    program: str
    milliseconds: int
    key: int
    body: int


class Words(NamedTuple):
    """containerd's words, as its child got them."""

    argv: Sequence[str]
    stdin: bytes


def question(asked: Question) -> bytes:
    """The bytes of a question."""
    head = f"{VERSION} {asked.kind} {asked.program} {int(asked.seconds * 1000)} {len(asked.key)} {len(asked.body)}"
    return b"%s %s\n%s%s" % (_MAGIC, head.encode(), asked.key, asked.body)


def head(line: bytes) -> Head | None:
    """Read the line that begins a question, None for one of another version.  Raises `Malformed`."""
    parts = line.split(b" ")
    if len(parts) < 2 or parts[0] != _MAGIC:
        raise Malformed("question: got something else; expected one of this program's children")
    if parts[1] != b"%d" % VERSION:
        return None
    try:
        kind, program, *numbers = (part.decode("ascii") for part in parts[2:])
        if not all(number.isdigit() and len(number) <= 9 for number in numbers):
            raise ValueError
        milliseconds, key, body = (int(number) for number in numbers)
    except ValueError:
        raise Malformed("question: got another head; expected kind, program, milliseconds and two lengths") from None
    if kind not in KINDS or key + body > MAX_BODY:
        raise Malformed(f"question: got {key + body} bytes of another kind; expected at most {MAX_BODY}")
    return Head(kind, program, milliseconds, key, body)


def words(body: bytes) -> Words:
    """containerd's words: how many arguments, the arguments behind the first, standard input.  Raises `Malformed`."""
    count, _, rest = body.partition(b"\0")
    if not (count.isdigit() and 0 < len(count) <= 3 and int(count) > 0):
        raise Malformed("question: got no number of arguments; expected one")
    parts = rest.split(b"\0", int(count) - 1)
    if len(parts) != int(count):
        raise Malformed(f"question: got {len(parts) - 1} arguments; expected {int(count) - 1}")
    return Words(("nodeseal", *(os.fsdecode(part) for part in parts[:-1])), parts[-1])


def answer(code: int, parts: Sequence[bytes], *, final: bool) -> bytes:
    """An answer to a pull: exit code; the line; the spool's line around its time.

    One that is not `final` is for a child that has no time left: any other asks the registry itself.
    """
    lengths = b" ".join(b"%d" % len(part) for part in parts)
    return b"answer %d %d %s\n%s" % (code, int(final), lengths, b"".join(parts))


def said(content: bytes) -> bytes:
    """An answer to anybody else: JSON."""
    return b"said %d\n%s" % (len(content), content)


def other() -> bytes:
    """What a program of another version hears."""
    return b"other %d %s\n" % (VERSION, __version__.encode())


def declined(why: str) -> bytes:
    """What a child hears that has to do without the daemon; `why` is one of the words above."""
    return b"cold %s\n" % why.encode("ascii", "replace")


def folder(root: str) -> int:
    """A descriptor of the socket's folder, once it is known to be root's or this user's alone.  Raises `OSError`."""
    path = os.path.join(root, FOLDER)
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    complaint = files.foreign(os.fstat(descriptor))
    if complaint:
        os.close(descriptor)
        raise PermissionError(f"{path}: got a folder that {complaint}; expected one of root's or this user's")
    return descriptor


def listening(root: str) -> socket.socket:
    """A socket that listens in place of whatever was there.  Raises `OSError`.

    It is renamed in, mode and all: no child ever finds half a socket, or another's.
    """
    path = os.path.join(root, FOLDER)
    files.make_private_folder(path)
    descriptor = folder(root)
    try:
        # Through the descriptor the path is short, as `bind` wants it, and leads where it was checked.
        temporary = files.temporary_name(f"{path}/{NAME}").rpartition("/")[2]
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listener.bind(f"/proc/self/fd/{descriptor}/{temporary}")
            os.chmod(temporary, files.PRIVATE_FILE, dir_fd=descriptor)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            os.rename(temporary, NAME, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        except BaseException:
            listener.close()
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=descriptor)
            raise
        return listener
    finally:
        os.close(descriptor)


def number(root: str) -> int:
    """Which socket is in place, 0 for none: a daemon that ends takes away its own alone."""
    try:
        return os.lstat(os.path.join(root, FOLDER, NAME)).st_ino
    except OSError:
        return 0


def take_away(root: str, which: int) -> None:
    """Remove the socket with that number."""
    if which and number(root) == which:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(root, FOLDER, NAME))


def is_ours(connection: socket.socket) -> bool:
    """Whether the other end runs as root or as this user (SO_PEERCRED, unix(7))."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(found)
    return uid in (0, os.geteuid())


class Client:
    """A person's command that asks the daemon, and waits for it."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `run/nodeseal` is under, "/" on a node."""
        self._root = root

    def ask(self, kind: str, body: bytes = b"", *, seconds: float) -> bytes | None:
        """What the daemon says, None if there is none.  Raises `HostError` if it is there and says nothing of use."""
        path = os.path.join(self._root, FOLDER, NAME)
        try:
            descriptor = folder(self._root)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise HostError(f"{path}: got {error.strerror or error}; expected the daemon's socket") from None
        try:
            with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)) as connection:
                connection.settimeout(seconds)
                connection.connect(f"/proc/self/fd/{descriptor}/{NAME}")
                if not is_ours(connection):
                    raise HostError(f"{path}: got another user behind it; expected root or this user")
                connection.sendall(question(Question(kind, __version__, seconds, b"", body)))
                return _content(connection, path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None  # stale: whoever served it is gone
        except OSError as error:
            hint = "look at the daemon's log; children do without it meanwhile"
            raise HostError(f"{path}: got {error}; expected an answer of the daemon", hint=hint) from None
        finally:
            os.close(descriptor)


def _content(connection: socket.socket, path: str) -> bytes:
    """Raises `HostError`, `OSError`."""
    content = b""
    while len(content) <= MAX_ANSWER:
        chunk = connection.recv(65536)
        if not chunk:
            break
        content += chunk
    while content.startswith((WORKING, BUSY)):
        content = content.partition(b"\n")[2]
    line, _, rest = content.partition(b"\n")
    if line == b"said %d" % len(rest):
        return rest
    if line.startswith(b"other "):
        text = f"{path}: got a daemon of another version; expected {__version__}"
        raise HostError(text, hint="use the program of the daemon's version, or restart the daemon")
    raise HostError(f"{path}: got {ascii(line)[:80]}; expected the daemon's answer")
