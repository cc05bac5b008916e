"""The first thing that runs in containerd's child, before the program's own start.

Decides: the canary; what was answered to the very same words not long ago (`agent.adapters.answers` wrote it); what the
daemon says, if there is one (docs/ipc.md).
Prepares: standard descriptors and the process's environment.  Never: imports anything of ours, or is imported by it;
fails (an exception here would kill the process before anybody could say why).

Import budget: C modules that are built into the interpreter (`posix`, `sys`, `time`), `_socket` once there is a daemon
to be asked, and `gc` once the program behind has to decide.  The build puts this file into the executable's archive in
front of everything, compiled; where it finds nothing to decide, it returns and the program starts as usual
(docs/architecture.md, "The start-up budget").
"""

import posix
import sys
import time

_CANARY_LINE = "deny NS-1001 rule=canary: the canary's name is always refused; this verifier is live"
_CANARY_HOST = "127.0.0.1"
_CANARY_PATH = "nodeseal-canary"
_NONCE, _HEXADECIMAL = 32, "0123456789abcdef"
_EXIT_DENY = 10

BEGUN_AT = time.monotonic()
"""When this process began, for whoever keeps its deadline."""

VERSION = b"nodeseal-answer 1"
PRIME = 2**127 - 1
"""What tells texts apart here, by their remainder: whoever makes two alike gains a miss: keys are compared whole."""

ANSWERS = "/var/cache/nodeseal/answers"
STATE = "/var/lib/nodeseal"
SETTINGS = (
    "/etc/nodeseal/.",  # the folder, not a link to it
    "/etc/nodeseal/bootstrap.json",
    "/etc/nodeseal/break-glass.json",
    "/var/cache/nodeseal/doubts",
)
BEGUN = "break-glass-begun.json"
SNAPSHOTS, SNAPSHOT = "snapshots", "/snapshot.json"
SPOOL = "/var/log/nodeseal"
SOCKETS, SOCKET = "/run/nodeseal", "agent.sock"
PROTOCOL, PROGRAM = 1, "0.1.0"
"""What the daemon must speak and be, to be believed."""

_SILENCE = 1.0  # seconds in which a daemon that lives says something
_PATIENCE = 5.0  # seconds from our beginning, until which a turn is waited for, and behind which nobody starts alone
_END = 7.5  # seconds from our beginning: what the program behind says in half a second is that there is no time
_LAST_WORD = 0.5  # seconds before that, by which the daemon has said that there is none
_LONGEST_LINE = 512

_STDIN_LIMIT = 64 * 1024
_STDIN_SECONDS = 0.05
_MOST = 16 * 1024
_SPOOL_SIZE = 4 * 1024 * 1024  # what is larger is turned by the program behind this one
_FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_FILE = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_APPEND = posix.O_RDWR | posix.O_APPEND | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
PATHS, _PATHS_SIZE = "/paths.json", 4096
PATHS_FORM = b'{"schemaVersion": "1", "root": "', b'"}\n'
"""What stands before and behind the root in what an installation writes (`agent.wiring.paths`)."""

_OBJECTS = 100_000  # twice what all imports of a verification make; some 10 MiB, should they be garbage
_OWNERS = (0, posix.geteuid())
_DIRECTORY = 0o040000
_REGULAR, _KIND, _OTHERS, _STICKY = 0o100000, 0o170000, 0o022, 0o1000

# What would change how interpreter, loader or OpenSSL behave further down; containerd's environment is not ours.
_PREFIXES = (b"PYTHON", b"__PYVENV_LAUNCHER__", b"OPENSSL_", b"SSL_", b"SSLKEYLOGFILE", b"LD_")


def _open_standard_descriptors() -> None:
    """Open what is closed of 0, 1 and 2: else a socket could become 1, and the reason be written into it."""
    for descriptor in (0, 1, 2):
        try:
            posix.fstat(descriptor)
        except OSError:
            posix.open("/dev/null", posix.O_RDWR)  # the lowest free number, which is this one


def _clean_environment() -> None:
    """Remove what `_PREFIXES` name, from the process and from the dictionary that `os.environ` is made of."""
    for name in list(posix.environ):
        if name.startswith(_PREFIXES):
            posix.unsetenv(name)
            del posix.environ[name]


def _name(argv: list[str]) -> str:
    """The value of -name or --name, or an empty text if it is not said, or not said exactly once."""
    found = []
    for i, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag in ("-name", "--name"):
            found.append(value if equals else argv[i + 1] if i + 1 < len(argv) else "")
    return found[0] if len(found) == 1 else ""


def is_canary(name: str) -> bool:
    """Whether a name is the canary's: 127.0.0.1 with a port or without, `nodeseal-canary`, any tag or digest."""
    host_and_port, slash, rest = name.partition("/")
    host, colon, port = host_and_port.partition(":")
    path = rest.partition("@")[0].partition(":")[0]
    return bool(slash) and host == _CANARY_HOST and (not colon or port.isdigit()) and path == _CANARY_PATH


def canary_line(name: str) -> bytes:
    """What is said of a canary: a nonce, where its tag is one, so that nothing that was kept can be taken for us."""
    tag = name.rpartition("/")[2].partition("@")[0].partition(":")[2]
    proves = len(tag) == _NONCE and not tag.strip(_HEXADECIMAL)
    return f"{_CANARY_LINE}{f': {tag}' if proves else ''}\n".encode()


def run(argv: list[str]) -> None:
    """Prepare the process, and answer if the answer is known already; otherwise return."""
    for step in (
        _clean_environment,
        _open_standard_descriptors,
        lambda: _canary(argv),
        lambda: _again(argv),
        lambda: _make_way(argv),
    ):
        try:
            step()
        except BaseException:  # noqa: BLE001, S110 - whatever it was: the program behind this one decides
            pass


def _canary(argv: list[str]) -> None:
    name = _name(argv[1:])
    if is_canary(name):
        _say(canary_line(name), _EXIT_DENY)


def _again(argv: list[str]) -> None:
    """Give the answer that was given to the same words, in the same state of the node, and has not ended since.

    Otherwise the daemon's, if there is one.
    """
    sys.nodeseal_begun = BEGUN_AT  # type: ignore[attr-defined]
    if not _name(argv[1:]):
        return
    program = posix.readlink("/proc/self/exe")
    root = _root(program)
    words = _words(argv, _stdin())
    of, found = b"", None
    try:
        of = key(root, words)
        found = answer(root, of, time.time())
    except (OSError, ValueError):  # there is none, or it can't be read
        pass
    # Whoever was asked or looked for what is given again has looked at the program's libraries before; only root or
    # their owner can have changed since who may write them.
    if found is None and words.rstrip().endswith(b"}") and not _unsafe_below(_libraries(program)):
        found = ask(root, of, words)
    if found is not None:
        code, line, before, after = found
        if _told(root, before + _now() + after):
            _say(line, code)


def _make_way(argv: list[str]) -> None:
    """Prepare for the program behind: PyInstaller's loader, which comes next, is asked for codecs, too.

    Where it lives for one pull, the interpreter looks for garbage after `_OBJECTS` new ones, not after 700.
    """
    sys.path_importer_cache.clear()
    if _name(argv[1:]):
        import gc

        gc.set_threshold(_OBJECTS)


def ask(root: str, of: bytes, words: bytes) -> tuple[int, bytes, bytes, bytes] | None:
    """The daemon's answer, as `answer` gives one that was kept; None if the program behind this one has to find it.

    Raises `OSError` if there is no daemon, or it says nothing any more: that is noted for the program behind.
    """
    folder = posix.open(root + SOCKETS, _FOLDER)
    try:
        if _foreign(posix.fstat(folder)):
            return None
        posix.stat(SOCKET, dir_fd=folder, follow_symlinks=False)  # a node without daemon needs no module for it
        import _socket

        channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            channel.settimeout(_SILENCE)
            channel.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            peer = channel.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
            if int.from_bytes(peer[4:8], sys.byteorder) not in _OWNERS:
                return None
            left = int((_END - _LAST_WORD - (time.monotonic() - BEGUN_AT)) * 1000)
            head = f"nodeseal {PROTOCOL} pull {PROGRAM} {left} {len(of)} {len(words)}\n"
            channel.sendall(head.encode() + of + words)
            return _heard(channel)
        except TimeoutError:
            sys.nodeseal_hung = True  # type: ignore[attr-defined]
            raise
        finally:
            channel.close()
    finally:
        posix.close(folder)


def _heard(channel: "object") -> tuple[int, bytes, bytes, bytes] | None:
    """Wait for the answer as long as there are signs of life.  Raises `OSError`."""
    data, taken = b"", 0
    while True:
        line, newline, rest = data.partition(b"\n")
        spent = time.monotonic() - BEGUN_AT
        if newline and (line == b"working" or (line == b"busy" and spent < _PATIENCE)):
            data = rest
            continue
        if newline:
            parts = line.split()
            if parts[:1] != [b"answer"] or len(parts) != 6:
                return None
            code, final, *lengths = (int(part) for part in parts[1:])
            if len(rest) >= sum(lengths):
                return _believed(code, bool(final) or spent > _PATIENCE, rest, lengths)
        if spent > _END or taken > _STDIN_LIMIT:
            return None
        chunk = channel.recv(_MOST)  # type: ignore[attr-defined]
        if not chunk:
            return None
        data += chunk
        taken += len(chunk)


def _believed(code: int, final: bool, rest: bytes, lengths: list[int]) -> tuple[int, bytes, bytes, bytes] | None:
    """An answer of one line, whose exit code is what the line says; None for any other, and for one to be doubted."""
    first, second = lengths[0], lengths[0] + lengths[1]
    line, before, after = rest[:first], rest[first:second], rest[second:]
    whole = line.endswith(b"\n") and line.count(b"\n") == 1 and first <= _LONGEST_LINE
    allows = code == 0
    if not whole or not 0 <= code < 128 or allows != line.startswith(b"allow ") or len(after) != lengths[2]:
        return None
    return (code, line, before, after) if final else None


def _say(line: bytes, code: int) -> None:
    """Answer and end.  Whoever reads nothing gets the exit code alone: nothing here waits for him."""
    try:
        posix.set_blocking(1, False)
        try:
            posix.write(1, line)
        finally:
            posix.set_blocking(1, True)
    finally:
        posix._exit(code)


def _stdin() -> bytes:
    """What containerd wrote, to the end of its JSON object or for `_STDIN_SECONDS`; kept for the program behind."""
    data, end = b"", time.monotonic() + _STDIN_SECONDS
    posix.set_blocking(0, False)
    try:
        while not data.rstrip().endswith(b"}") and len(data) <= _STDIN_LIMIT:
            try:
                chunk = posix.read(0, _STDIN_LIMIT)
            except BlockingIOError:
                if time.monotonic() >= end:
                    break
                time.sleep(0.0005)
                continue
            if not chunk:
                break
            data += chunk
    finally:
        posix.set_blocking(0, True)
        sys.nodeseal_stdin = data  # type: ignore[attr-defined]
    return data


def _root(program: str) -> str:
    """What the node's folders are under, empty for "/": what stands before /opt/nodeseal/VERSION/nodeseal.

    Or what `paths.json` beside the program says, in the one form that an installation writes.  Raises `OSError` or
    `ValueError` for any other: the program behind this one reads it, or refuses.
    """
    if _misplaced(program):
        raise PermissionError(program)
    parts = program.split("/")
    try:
        descriptor = posix.open("/".join(parts[:-1]) + PATHS, _FILE)
    except FileNotFoundError:
        return "/".join(parts[:-4]) if parts[-4:-2] == ["opt", "nodeseal"] else ""
    try:
        found = posix.fstat(descriptor)
        if _foreign(found) or found.st_mode & _KIND != _REGULAR or found.st_size > _PATHS_SIZE:
            raise PermissionError(program)
        content = posix.read(descriptor, _PATHS_SIZE)
    finally:
        posix.close(descriptor)
    root = told_root(content)
    if _exposed(root):
        raise PermissionError(root)
    return root


def told_root(content: bytes) -> str:
    """The root of a `paths.json`, empty for "/".  Raises `ValueError` for what an installation would not write."""
    head, tail = PATHS_FORM
    path = content[len(head) : -len(tail)]
    if content != head + path + tail or any(c < 32 or c > 126 or c in b'"\\' for c in path):
        raise ValueError(content)
    root = path.decode()
    if root == "/":
        return ""
    empty, *parts = root.split("/")
    if empty or not parts or any(part in ("", ".", "..") for part in parts):
        raise ValueError(content)
    return root


def _exposed(root: str) -> bool:
    """Whether others could put something else in the place of a root."""
    parts = root.split("/")
    for i in range(1, len(parts) + 1):
        found = posix.lstat("/".join(parts[:i]) or "/")
        if found.st_mode & _KIND != _DIRECTORY:
            return True
        if _foreign(found) and not (i < len(parts) and found.st_mode & _STICKY):
            return True
    return False


def unsafe(program: str) -> bool:
    """Whether others may write the program's files: what `agent.modes.place.unsafe` says in words."""
    return _misplaced(program) or _unsafe_below(_libraries(program))


def _libraries(program: str) -> str:
    return program.rpartition("/")[0] + "/_internal"


def _misplaced(program: str) -> bool:
    """Whether others may write the program, or put other libraries beside it."""
    folder = above = program.rpartition("/")[0]
    while above:
        above = above.rpartition("/")[0]
        found = posix.stat(above or "/")
        if not found.st_mode & _STICKY and _foreign(found):
            return True
    return any(_foreign(posix.stat(path)) for path in (program, folder, _libraries(program)))


def _unsafe_below(folder: str) -> bool:
    if _foreign(posix.stat(folder)):
        return True
    with posix.scandir(folder) as entries:
        for entry in entries:
            if _unsafe_below(entry.path) if entry.is_dir(follow_symlinks=False) else _foreign(entry.stat()):
                return True
    return False


def _words(argv: list[str], stdin: bytes) -> bytes:
    return b"\0".join([str(len(argv)).encode(), *(word.encode("utf-8", "surrogateescape") for word in argv[1:]), stdin])


def key(root: str, words: bytes) -> bytes:
    """What an answer depends on: the words, the program, and all of the node's state that decides.

    Files count by what the kernel knows of them: whoever changes one changes that.  Raises `OSError` if there is no
    configuration, or others could have written one.
    """
    folder = posix.open(root + STATE, _FOLDER)
    try:
        if _foreign(posix.fstat(folder)):
            raise PermissionError(root + STATE)
        generation = posix.readlink("current", dir_fd=folder)
        state = [_seen(posix.stat("current", dir_fd=folder, follow_symlinks=False)), _seen_at(BEGUN, folder)]
        snapshot = (SNAPSHOTS, generation, generation + SNAPSHOT)
        state += [_seen_at(path, folder) for path in snapshot]
    finally:
        posix.close(folder)
    state += [_seen_at(root + path) for path in SETTINGS]
    program = posix.readlink("/proc/self/exe")
    return (
        "\0".join(
            [program, _seen(posix.stat(program)), _seen_at(_libraries(program)), posix.uname()[1], generation, *state]
        ).encode("utf-8", "surrogateescape")
        + words
    )


def _seen_at(path: str, folder: int | None = None) -> str:
    try:
        return _seen(posix.stat(path, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return "-"


def _seen(found: posix.stat_result) -> str:
    return f"{found.st_dev},{found.st_ino},{found.st_size},{found.st_ctime_ns},{found.st_uid},{found.st_mode}"


def _foreign(found: posix.stat_result) -> bool:
    return found.st_uid not in _OWNERS or bool(found.st_mode & _OTHERS)


def number(content: bytes) -> str:
    """What a file with an answer is called, and what shows that it is whole."""
    return f"{int.from_bytes(content + b'.', 'little') % PRIME:032x}"


def answer(root: str, of: bytes, now: float) -> tuple[int, bytes, bytes, bytes] | None:
    """Exit code, line, and a spool line but for its time, for the key `of`; None if there is none that counts `now`.

    Raises `OSError` if there is none at all.
    """
    folder = posix.open(root + ANSWERS, _FOLDER)
    try:
        if _foreign(posix.fstat(folder)):
            return None
        descriptor = posix.open(number(of), _FILE, dir_fd=folder)
    finally:
        posix.close(folder)
    try:
        found = posix.fstat(descriptor)
        if _foreign(found) or found.st_mode & _KIND != _REGULAR:
            return None
        content = posix.read(descriptor, _MOST)
    finally:
        posix.close(descriptor)
    head, _, body = content.partition(b"\n")
    if head != VERSION + b" " + number(body).encode():
        return None
    lengths, _, rest = body.partition(b"\n")
    parts = []
    for length in lengths.split():
        parts.append(rest[: int(length)])
        rest = rest[int(length) :]
    its_key, begin, end, code, line, before, after = parts
    if rest or its_key != of or not float(begin) <= now < float(end):
        return None
    return int(code), line, before, after


def _now() -> bytes:
    seconds = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}+00:00".encode()


def _told(root: str, line: bytes) -> bool:
    """Add a line to the spool; False if it is to be turned first.  What can't be written is not told."""
    try:
        try:
            folder = posix.open(root + SPOOL, _FOLDER)
        except FileNotFoundError:
            posix.mkdir(root + SPOOL, 0o700)
            folder = posix.open(root + SPOOL, _FOLDER)
        try:
            if _foreign(posix.fstat(folder)):
                return True
            descriptor = posix.open("spool.jsonl", _APPEND, 0o600, dir_fd=folder)
        finally:
            posix.close(folder)
        found = posix.fstat(descriptor)
        if _foreign(found) or found.st_mode & _KIND != _REGULAR:
            return True
        if found.st_size > _SPOOL_SIZE:
            return False
        torn = found.st_size and posix.pread(descriptor, 1, found.st_size - 1) != b"\n"
        posix.write(descriptor, b"\n" + line if torn else line)
    except OSError:
        pass
    return True


if getattr(sys, "frozen", False) or hasattr(sys, "_MEIPASS"):
    run(sys.argv)
