"""The first thing that runs in containerd's child, before the program's own start.

Decides: the canary.  Prepares: standard descriptors and the process's environment.  Never: imports anything of ours, or
is imported by it; fails (an exception here would kill the process before anybody could say why).

Import budget: C modules that are built into the interpreter (`posix`, `sys`), nothing else.  The build puts this file
into the executable's archive in front of everything, compiled; where it finds nothing to decide, it returns and the
program starts as usual (docs/architecture.md, "The start-up budget").
"""

import posix
import sys

CANARY_LINE = b"deny NS-1001 rule=canary: the canary's name is always refused; this verifier is live\n"
_CANARY_HOST = "127.0.0.1"
_CANARY_PATH = "nodeseal-canary"
_EXIT_DENY = 10

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


def run(argv: list[str]) -> None:
    """Prepare the process, and answer if the answer is known already; otherwise return."""
    for step in (_clean_environment, _open_standard_descriptors, lambda: _answer(argv)):
        try:
            step()
        except BaseException:  # noqa: BLE001, S110 - whatever it was: the program behind this one decides
            pass


def _answer(argv: list[str]) -> None:
    if is_canary(_name(argv[1:])):
        try:
            posix.write(1, CANARY_LINE)
        finally:
            posix._exit(_EXIT_DENY)


if getattr(sys, "frozen", False) or hasattr(sys, "_MEIPASS"):
    run(sys.argv)
